"""Schedules (section 2.3 of the paper): the prompts of every training step.

One file per registered schedule (:data:`omnithinker.config.registry.SCHEDULES`). :mod:`omnithinker.schedules.base`
holds the protocols, :mod:`omnithinker.schedules.shares` the arithmetic of shares, :mod:`omnithinker.schedules.plan`
builds the schedule of a run.
"""
