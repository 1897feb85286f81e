"""Multi-task reinforcement learning of language models: hybrid rewards, transfer, and task order."""

__version__ = "0.1.0"
