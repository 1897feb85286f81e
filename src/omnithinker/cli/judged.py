"""What judges did in a command that keeps no run folder, said when it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from omnithinker.judge.ledger import Ledger
from omnithinker.ui.judge_usage import usage_lines


@contextmanager
def judges_told(ledger: Ledger) -> Iterator[None]:
    """Around the asking of judges: at its end, however it ends, a line on standard error for each that was asked."""
    try:
        yield
    finally:
        for line in usage_lines(ledger.metrics()):
            print(line, file=sys.stderr)
