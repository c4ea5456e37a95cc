"""Answers that learners give in notebook 17, and the sentence that each must earn."""

from __future__ import annotations

RUN = "card = capstone.run(design)"
LIKE = 'design = capstone.start("my-design", like="{}", afresh=True)\n'
EDIT = """
file = design / "template.yaml"
file.write_text(file.read_text().replace({!r}, {!r}))
"""
ANSWERS = [
    (
        "17-design",
        LIKE.format("e") + RUN,
        "They failed while payments were down and were given up. Count how often the unluckiest is received in 40 s, "
        "and allow more.",
    ),
    # A, B and D: tests/test_capstone.py has their sentences without the runs.
    (
        "17-design",
        LIKE.format("c") + '(design / "notes.md").unlink()',
        "The design my-design has no notes.md.",
    ),
    (
        "17-design",
        LIKE.format("c") + EDIT.format("MemorySize: 256", "MemorySize: 257"),
        "The judge has not seen these files as they are now",
    ),
    # Another route: fewer runs at once and more patience.
    (
        "17-design",
        LIKE.format("c")
        + EDIT.format("MaximumConcurrency: 8", "MaximumConcurrency: 4")
        + EDIT.format("maxReceiveCount: 4", "maxReceiveCount: 6")
        + RUN,
        "● yes: All 13 lines are met.",
    ),
    (
        "17-final",
        "card = capstone.run(design, seed=3)",
        "● yes: Every line is met on days that nobody has seen.",
    ),
]
