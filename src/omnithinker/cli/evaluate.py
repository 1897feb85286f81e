"""``omnithinker evaluate``: accuracy with standard error and token entropy per task."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.errors import BadInput
from omnithinker.evals.completions import EvaluatedCompletions
from omnithinker.io.layout import completions_file
from omnithinker.rewards.answers import answer_record, gold_of
from omnithinker.train.commands import evaluate_model
from omnithinker.types import EvalResult
from omnithinker.ui.completions import example
from omnithinker.ui.console import SafeConsole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--model", metavar="M", help="folder or hub name; default: the recipe's, after its warm-up")
    parser.add_argument("--task", metavar="NAME", action="append", help="evaluate on this task only; repeatable")
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="print the completions of N items per task with their verdicts"
    )
    parser.add_argument("--all", action="store_true", help="print these completions whole")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="JSON file for the results, with all completions in a .jsonl file beside it "
        "(default: in the folder OUTPUT-evaluate, named after the model)",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    recipe = read_recipe(args)
    if args.all and not args.show:
        raise BadInput("--all prints the completions of --show N whole; give both")
    if args.show < 0:
        raise BadInput(f"--show {args.show}: must be a number of items, or 0 for none")
    output = Path(args.output) if args.output else default_output(recipe.output, args.model)
    if output.suffix == ".jsonl":
        raise BadInput(f"--output {output}: names the results, in JSON; completions go to a .jsonl file beside it")
    completions = EvaluatedCompletions()
    # Progress goes to standard error: standard output is for results alone.
    results = evaluate_model(recipe, model=args.model, tasks=args.task, output=output, completions=completions)
    print(f"all completions: {completions_file(output)}", file=sys.stderr)
    if args.show:
        # With --json they must not mix with the results.
        show(completions, recipe, args.show, SafeConsole(stderr=args.json), whole=args.all)
    if args.json:
        print(json.dumps({task: dataclasses.asdict(result) for task, result in results.items()}, ensure_ascii=False))
    else:
        SafeConsole().print(results_table(results))


def default_output(output: str, model: str | None) -> Path:
    """Return the file of results of a model: its path, with dashes, in the folder of the recipe's evaluations."""
    name = re.sub(r"[^\w.-]+", "-", model or "base").strip("-.") or "model"
    return Path(f"{output}-evaluate") / f"{name[-200:]}.json"


def show(completions: EvaluatedCompletions, recipe: Recipe, count: int, console: Console, *, whole: bool) -> None:
    """Print the first items of every task with their completions."""
    for task in completions.tasks:
        for group, records in completions.items(task, count):
            prompt = group.prompt
            rewards = recipe.tasks[task].rewards
            shown = [{**record, **answer_record(rewards, record["text"])} for record in records]
            title = f"{task}, item {prompt.index}"
            console.print(example(title, prompt.text, gold_of(prompt.row), shown, console, whole=whole))


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
            "–" if result.entropy is None else f"{result.entropy:.3f}",
            f"{result.length:.1f}",
            str(result.undefined),
        )
    return table
