"""Errors with names and owners. Every message states what is wrong, where, and what to do."""

from __future__ import annotations

REASON_CHARS = 300
"""Length to which messages of libraries are cut."""


def reason_of(error: BaseException) -> str:
    """Return the message of a library's exception in one line of bounded length; its type if it has none."""
    return " ".join(str(error).split())[:REASON_CHARS] or type(error).__name__


class OmniThinkerError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is the exit code of the command line."""

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """One message per problem; what stands in one may contain line breaks, such as a name from a file."""
        return tuple(map(str, self.args))

    def __str__(self) -> str:
        return "\n".join(self.lines)


class BadInput(OmniThinkerError, ValueError):
    """Unusable input from the user; the message is shown as it is, without a traceback."""

    exit_code = 2


class RecipeError(BadInput):
    """A recipe has an unknown key, a value of the wrong kind, or settings that contradict each other."""


class DataError(BadInput):
    """A data file is missing, empty or has a malformed row; the message names file, line and field."""


class PlanError(BadInput):
    """A table of accuracies or a transfer matrix is unusable for planning."""


class RewardError(OmniThinkerError):
    """A reward component failed, which is not a reward of 0; the message names the component."""


class SandboxError(OmniThinkerError):
    """The sandbox could not run a program; implies nothing about the program."""


class SandboxUnavailable(BadInput):
    """This machine lacks a confinement layer that the recipe requires; names the layer and the setting."""


class JudgeError(OmniThinkerError):
    """The judge returned no usable verdict: endpoint down, deadline exceeded, or unparseable twice."""


class TrainingError(OmniThinkerError):
    """Training cannot continue: numbers stay non-finite, or memory is exhausted."""


class CheckpointError(OmniThinkerError):
    """A checkpoint cannot be used."""


class DamagedCheckpoint(CheckpointError):
    """A file of a checkpoint is missing or cut short."""


class DiskError(OmniThinkerError):
    """The disk is full; everything written before is intact, and the same command resumes once there is space."""


class Interrupted(OmniThinkerError):
    """The user stopped the run; everything finished so far is on disk and the same command resumes."""

    exit_code = 130
