"""Rollouts: from prompts to groups of trajectories."""
