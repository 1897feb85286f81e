"""Tasks: what is trained and measured."""
