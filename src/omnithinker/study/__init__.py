"""The experiment: stages, and the folder they write."""
