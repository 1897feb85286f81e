"""Data rows of tasks: reading, held-out rows, and options of questions."""
