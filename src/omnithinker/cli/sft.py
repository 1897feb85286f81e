"""``omnithinker sft``: supervised fine-tuning on its own."""

from __future__ import annotations

import argparse

from omnithinker.cli.options import add_recipe, read_recipe
from omnithinker.train.commands import finetune_model
from omnithinker.ui.console import SafeConsole
from omnithinker.ui.view import View


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe(parser)
    parser.add_argument("--output", metavar="DIR", help="folder; default: the recipe's output with /warmup")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    console = SafeConsole()
    result = finetune_model(read_recipe(args), output=args.output, view=View(console))
    console.print(f"{result.steps} updates on {result.demonstrations} demonstrations", highlight=False)
    for task, loss in {"all": result.val_loss, **result.val_loss_per_task}.items():
        if loss is not None:
            console.print(f"validation loss {task}: {loss:.4f}", highlight=False, markup=False)
    console.print(f"model: {result.model}", highlight=False, markup=False, soft_wrap=True)
