"""``omnithinker push``: upload the weights of a finished run to the hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from omnithinker.train.push import push_run
from omnithinker.ui.console import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("repository", metavar="REPO", help="repository on the hub, user/name")
    parser.add_argument("--public", action="store_true", help="create a public repository instead of a private one")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    address = push_run(args.folder, args.repository, public=args.public, note=say)
    print(address)
