"""Judge usage of commands that keep no run folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from omnithinker.judge.ledger import Ledger
from omnithinker.ui.judge_usage import usage_lines


@contextmanager
def print_judge_usage(ledger: Ledger) -> Iterator[None]:
    """Print one line per judge that was called to standard error at the end of the block, also after an exception."""
    try:
        yield
    finally:
        for line in usage_lines(ledger.metrics()):
            print(line, file=sys.stderr)
