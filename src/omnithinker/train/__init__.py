"""Training: from scored groups to a better policy."""
