# Every command is done by tools/make.py, which also runs on a machine without make.

.DEFAULT_GOAL := help
.PHONY: help lab test setup check bench ledger course course-long lock

# Any Python can start tools/make.py; that finds one which suits, or the one that PYTHON names.
STARTER := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python "$$PYTHON"; do \
	if "$$p" -c "" 2>/dev/null; then command -v "$$p"; break; fi; done 2>/dev/null)

help lab test setup check bench ledger course course-long lock:
ifeq ($(STARTER),)
	@echo "No Python was found on the path: install Python 3.11, 3.12, 3.13 or 3.14 and repeat: make $@" >&2; exit 1
else
	@"$(STARTER)" tools/make.py $@ $(ARGS)
endif
