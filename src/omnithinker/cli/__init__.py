"""The ``omnithinker`` command. Each subcommand is a module with ``add_arguments`` and ``run``.

Modules of subcommands are imported only when their subcommand runs, so that ``--help`` and ``plan`` start
without torch. Exit codes: 0 done; 1 a failure of ours; 2 bad input; 130 interrupted, resumable.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from omnithinker import __version__
from omnithinker.errors import OmniThinkerError

COMMANDS = {
    "study": "the whole experiment: base, single-task runs, transfer, plan, curriculum, joint, report",
    "train": "one training run",
    "evaluate": "accuracy and entropy of a model on the recipe's tasks",
    "check": "before paying: model, data, rewards on gold and wrong answers, sandbox, judge, memory, tokens",
    "plan": "from a table of accuracies: the best task order, predictions, confidence (needs no torch)",
    "score": "reward breakdown of completions read as JSON lines",
    "data": "prepare rows: distractors adds plausible wrong options to questions",
    "report": "write the HTML report of a run or study folder",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in argv if not word.startswith("-")), None)
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
    try:
        return int(args.run(args) or 0)
    except OmniThinkerError as error:
        print(f"omnithinker {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\nomnithinker {args.command}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (``head``, a pager) has gone: nothing more to say, and nothing went wrong.
        sys.stderr.close()
        return 0
