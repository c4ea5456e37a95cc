"""The exercises of the notebooks, one module a notebook."""
