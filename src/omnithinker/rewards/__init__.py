"""Rewards, named by mechanism: each is a class that scores all completions of a prompt."""
