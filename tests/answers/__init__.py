"""Answers to the exercises, a module a notebook: wrong ones with their sentences, and second correct routes.

Each module holds `ANSWERS`, a list of: the exercise's id, the code to stand in its cell, what the verdict must contain.
"""
