"""The program of a verifier process: pairs of answers in, verdicts out, one JSON line each.

Started by file name in a fresh interpreter (see :mod:`omnithinker.rewards.math_pool`), it imports nothing of this
package. Timeouts by signal are safe here because the work is done in the main thread of its own process.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import signal
import sys
from typing import Any, NoReturn

# A gold answer that can only be an interval may be answered by an inequality; ``(1,2)`` may also be a point.
_INTERVAL = re.compile(r"\\infty|\\cup|\\in(?![a-z])|^\[.*[\])]$|^\(.*\]$|[<>]|\\[lg]e(?![a-z])")


class _OutOfTime(BaseException):
    """Raised by the timer; not an Exception, so that libraries that catch everything do not catch it."""


def _on_timer(signum: int, frame: object) -> NoReturn:
    raise _OutOfTime


def parse_answer(text: str) -> list[Any]:
    """Parse LaTeX into symbolic form; empty when it says nothing mathematical."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    normalization = NormalizationConfig(
        basic_latex=True,
        units=False,  # the caller has dealt with units; these rules would also drop variables such as ``ab``
        malformed_operators=True,
        nits=True,
        boxed="all",
        equations=False,
    )
    config = LatexExtractionConfig(
        boxed_match_priority=0, try_extract_without_anchor=False, normalization_config=normalization
    )
    parsed: list[Any] = parse(
        f"\\boxed{{{text}}}",
        extraction_config=[config],
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,
        raise_on_error=True,
    )
    return [_imaginary(item) for item in parsed]


def _imaginary(expression: Any) -> Any:
    """Read the letter i as the imaginary unit."""
    import sympy

    if isinstance(expression, sympy.Expr):
        return expression.subs({symbol: sympy.I for symbol in expression.free_symbols if str(symbol) == "i"})
    return expression


def judge(gold: str, answer: str) -> str:
    """``equal``, ``different`` or ``gold_unparseable`` for two expressions in LaTeX."""
    from math_verify import verify

    try:
        gold_parsed = parse_answer(gold)
    except Exception:  # parsers raise anything; that the gold cannot be read is the finding
        gold_parsed = []
    if not gold_parsed:
        return "gold_unparseable"
    try:
        answer_parsed = parse_answer(answer)
        if not answer_parsed:
            return "different"
        same = verify(
            gold_parsed,
            answer_parsed,
            timeout_seconds=None,
            raise_on_error=True,
            allow_set_relation_comp=_INTERVAL.search(gold) is not None,
        )
    except MemoryError:
        raise
    except Exception:  # same here: what cannot be compared was not shown to be equal
        return "different"
    return "equal" if same else "different"


def _limited(gold: str, answer: str, seconds: float) -> str:
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The kernel's limit ends computations inside C code that no Python signal handler can interrupt, even when
    # the parent is gone.
    ceiling = math.ceil(used.ru_utime + used.ru_stime + 2 * seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (ceiling, resource.RLIM_INFINITY))
    try:
        # CPU time, not wall time: a busy machine must not change a verdict.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            return judge(gold, answer)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _OutOfTime:
        return "timeout"
    except (MemoryError, RecursionError):
        return "crashed"


def main() -> None:
    """Serve until standard input ends."""
    seconds, memory_mb = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with verdicts
    signal.signal(signal.SIGPROF, _on_timer)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    judge("1+x", "x+1")  # imports everything before the first deadline runs
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        gold, answer = json.loads(line)
        print(_limited(gold, answer, seconds), file=replies, flush=True)


if __name__ == "__main__":
    main()
