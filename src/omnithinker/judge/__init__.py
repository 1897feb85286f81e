"""Judges: who compares two texts. Know nothing of rewards."""
