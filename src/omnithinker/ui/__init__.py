"""Live view of a run, and how it stops."""
