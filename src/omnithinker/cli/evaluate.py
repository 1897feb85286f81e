"""``omnithinker evaluate``: accuracy with standard error and token entropy per task."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.train.commands import evaluate_model
from omnithinker.types import EvalResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--model", metavar="M", help="folder or hub name; default: the recipe's, after its warm-up")
    parser.add_argument("--task", metavar="NAME", action="append", help="evaluate on this task only; repeatable")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    # Progress goes to standard error: standard output is for results alone.
    results = evaluate_model(read_recipe(args), model=args.model, tasks=args.task)
    if args.json:
        print(json.dumps({task: dataclasses.asdict(result) for task, result in results.items()}, ensure_ascii=False))
    else:
        Console().print(results_table(results))


def results_table(results: Mapping[str, EvalResult]) -> Table:
    """Format accuracies and entropies as a table."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("task")
    for column in ("items", "greedy accuracy", "sampled accuracy", "entropy", "length", "undefined"):
        table.add_column(column, justify="right")
    for task, result in results.items():
        table.add_row(
            task,
            str(result.n),
            f"{result.accuracy:.3f} ± {result.standard_error:.3f}",
            f"{result.sampled_accuracy:.3f} ± {result.sampled_standard_error:.3f}",
            f"{result.entropy:.3f}",
            f"{result.length:.1f}",
            str(result.undefined),
        )
    return table
