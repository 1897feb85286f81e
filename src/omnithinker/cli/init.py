"""``omnithinker init``: write a commented recipe to start from. Needs no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from omnithinker.config.shipped import shipped_recipe
from omnithinker.errors import BadInput
from omnithinker.io.files import read_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="recipe to write, such as my.toml")
    parser.add_argument(
        "--from", dest="source", default="starter", metavar="NAME", help="shipped recipe to copy (default starter)"
    )


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        BadInput: if the file exists or cannot be written, or there is no such shipped recipe.
    """
    text = read_text(shipped_recipe(args.source))
    try:
        with args.file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise BadInput(f"{args.file} already exists; choose another name or remove it") from None
    except OSError as error:
        raise BadInput(f"{args.file}: cannot be written: {error.strerror}") from error
    print(f"wrote {args.file}; edit it, then run: omnithinker check {args.file}")
