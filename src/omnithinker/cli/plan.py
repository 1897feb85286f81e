"""``omnithinker plan``: in which order to train, from accuracies of any trainer. Needs no torch."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from omnithinker.errors import PlanError
from omnithinker.planning import make_plan, plan_to_json, plan_to_renderable, read_accuracies, read_matrix


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "accuracies", nargs="?", type=Path, help="table of accuracies (.csv or JSON), or a study folder"
    )
    parser.add_argument("--matrix", type=Path, metavar="FILE", help="a transfer matrix instead of accuracies")
    parser.add_argument(
        "--weight", action="append", default=[], metavar="TASK=W", help="weight of a task in the score (default 1)"
    )
    parser.add_argument(
        "--method",
        choices=("exact", "greedy", "forgettability"),
        default="exact",
        help="how to choose the order (default exact)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        PlanError: the input cannot be planned from.
    """
    if (args.accuracies is None) == (args.matrix is None):
        raise PlanError("give either a table of accuracies or --matrix FILE")
    source = read_accuracies(args.accuracies) if args.matrix is None else read_matrix(args.matrix)
    plan = make_plan(source, weights=_weights(args.weight), method=args.method)
    if args.json:
        json.dump(plan_to_json(plan), sys.stdout, allow_nan=False, ensure_ascii=False)
        print()
        return
    from rich.console import Console

    Console().print(plan_to_renderable(plan))


def _weights(words: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not equals or value != value:
            raise PlanError(f"--weight {word}: expected TASK=NUMBER, such as math=2")
        if name in found:
            raise PlanError(f'--weight: "{name}" is given twice')
        found[name] = value
    return found
