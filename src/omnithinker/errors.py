"""Errors with names and owners. Every message says what is wrong, where, and what to do about it."""

from __future__ import annotations


class OmniThinkerError(Exception):
    """Root of all errors raised on purpose. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class BadInput(OmniThinkerError, ValueError):
    """The user gave something that cannot be used; the message is shown as it is, without a traceback."""

    exit_code = 2


class RecipeError(BadInput):
    """A recipe has an unknown key, a value of the wrong kind, or settings that contradict each other."""


class DataError(BadInput):
    """A data file is missing, empty or has a malformed row; the message names file, line and field."""


class PlanError(BadInput):
    """A table of accuracies or a transfer matrix cannot be planned from."""


class RewardError(OmniThinkerError):
    """A reward component failed (not: scored zero). The message names the component that owns the failure."""


class SandboxError(OmniThinkerError):
    """The sandbox could not run a program at all; says nothing about the program."""


class SandboxUnavailable(BadInput):
    """This machine lacks a confinement layer that the recipe requires; names the layer and the setting."""


class JudgeError(OmniThinkerError):
    """The judge gave no usable verdict (endpoint down, deadline, unparseable twice)."""


class TrainingError(OmniThinkerError):
    """Training cannot go on: numbers are not finite any more, or memory does not suffice."""


class CheckpointError(OmniThinkerError):
    """A checkpoint cannot be used."""


class DamagedCheckpoint(CheckpointError):
    """A file of a checkpoint is missing or cut short."""


class DiskError(OmniThinkerError):
    """The disk takes no more; what was written before is whole, and the same command goes on when there is space."""


class Interrupted(OmniThinkerError):
    """The user stopped the run; everything finished so far is on disk and the same command goes on."""

    exit_code = 130
