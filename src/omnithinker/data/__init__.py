"""Reading data: rows of a task from files."""
