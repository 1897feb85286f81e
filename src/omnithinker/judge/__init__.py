"""Judges, which compare two texts. Independent of rewards."""
