"""``omnithinker plan``: the best task order, from accuracies of any trainer. Needs no torch."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from omnithinker.errors import PlanError
from omnithinker.planning import (
    Plan,
    explain,
    make_plan,
    plan_to_json,
    plan_to_renderable,
    plot_plan,
    read_accuracies,
    read_matrix,
)
from omnithinker.planning.plotting import check_plot_name

LARGEST_WEIGHT = 1e12
"""Largest weight of a task."""
MOST_RESAMPLES = 1_000_000
"""Largest number of resamples; they are held in memory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "accuracies", nargs="?", type=Path, help="table of accuracies (.csv or JSON), or a study folder"
    )
    parser.add_argument("--matrix", type=Path, metavar="FILE", help="transfer matrix, instead of accuracies")
    parser.add_argument(
        "--weight", action="append", default=[], metavar="TASK=W", help="weight of a task in the objective (default 1)"
    )
    parser.add_argument(
        "--method",
        choices=("exact", "greedy", "forgettability"),
        default="exact",
        help="method of choosing the order (default exact)",
    )
    parser.add_argument("--explain", action="store_true", help="list the pairs of tasks that decide the order")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot transfer, ranking and precedence (.svg, .png)")
    parser.add_argument(
        "--resamples",
        type=int,
        default=10_000,
        metavar="B",
        help="resamples for the confidence, 0 for none (default 10000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of resamples and heuristics (default 0)")
    parser.add_argument(
        "--time-limit",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="limit for more than 20 tasks (default 10)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        PlanError: if the input is invalid.
    """
    if (args.accuracies is None) == (args.matrix is None):
        raise PlanError("give either a table of accuracies or --matrix FILE, not both")
    source = read_accuracies(args.accuracies) if args.matrix is None else read_matrix(args.matrix)
    if not 0 <= args.resamples <= MOST_RESAMPLES:
        raise PlanError(f"--resamples {args.resamples}: must be from 0 to {MOST_RESAMPLES:,}")
    if not args.time_limit > 0:
        raise PlanError(f"--time-limit {args.time_limit:g}: must be a positive number of seconds")
    if not 0 <= args.seed < 2**63:
        raise PlanError(f"--seed {args.seed}: must be from 0 to 2^63 - 1")
    if args.plot is not None:
        check_plot_name(args.plot)
    plan = make_plan(
        source,
        weights=_weights(args.weight),
        method=args.method,
        time_limit=args.time_limit,
        resamples=args.resamples,
        seed=args.seed,
    )
    if args.plot is not None:
        plot_plan(plan, args.plot)
    if args.json:
        extra = {"explanation": explain(plan)} if args.explain else {}
        json.dump(plan_to_json(plan) | extra, sys.stdout, allow_nan=False, ensure_ascii=False)
        print()
    else:
        _print(plan, args)


def _print(plan: Plan, args: argparse.Namespace) -> None:
    from omnithinker.ui.console import SafeConsole

    console = SafeConsole(highlight=False)
    console.print(plan_to_renderable(plan, width=console.width))
    if args.explain:
        console.print("\nexplanation:", style="bold")
        for line in explain(plan):
            console.print("  " + line, markup=False)
    if args.plot is not None:
        console.print(f"plot: {args.plot}", markup=False, soft_wrap=True)


def _weights(words: list[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not equals or not abs(value) <= LARGEST_WEIGHT:
            raise PlanError(f"--weight {word}: expected TASK=NUMBER, such as math=2")
        if name in weights:
            raise PlanError(f'--weight: task "{name}" occurs twice; remove one')
        weights[name] = value
    return weights
