"""Generators: from prompts to groups of completions."""
