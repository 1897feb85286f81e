"""Rewards: named by mechanism, each a small class that scores a whole group."""
