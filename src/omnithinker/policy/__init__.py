"""The policy: loading a model, and the log-probabilities it gives to completions, with gradients."""
