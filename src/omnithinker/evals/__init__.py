"""Evaluation: accuracy and token entropy of a policy."""
