"""``omnithinker evaluate``: accuracy with standard error, and token entropy, per task."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from omnithinker.cli.judged import print_judge_usage
from omnithinker.cli.options import add_recipe, known_task, read_recipe
from omnithinker.types import EvalResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--model", metavar="M", help="folder or hub name; by default the recipe's base model")
    parser.add_argument("--task", metavar="NAME", action="append", help="only this task; may be given several times")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe = read_recipe(args)
    chosen = [known_task(recipe, name) for name in args.task] if args.task else list(recipe.tasks)
    recipe = recipe.model_copy(update={"tasks": {name: recipe.tasks[name] for name in chosen}})
    if args.model:
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"path": args.model})})

    from omnithinker.study.experiment import Experiment
    from omnithinker.ui.view import View

    console = Console()
    # With --json nothing but JSON may reach standard output.
    with View(Console(stderr=True)) as view:
        experiment = Experiment(recipe, view)
        with print_judge_usage(experiment.resources.ledger), experiment:
            results = experiment.evaluate_base()
    if args.json:
        print(json.dumps({task: dataclasses.asdict(result) for task, result in results.items()}, ensure_ascii=False))
    else:
        console.print(results_table(results))


def results_table(results: Mapping[str, EvalResult]) -> Table:
    """Accuracies and entropies for people."""
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
