"""Program of a verifier process: reads pairs of answers as JSON lines and writes one verdict per line.

It is started by file name in a fresh interpreter (see :mod:`omnithinker.rewards.math_pool`) and imports nothing of
this package. A forked child does the work. After a timeout the next child is forked, which takes milliseconds instead
of the second that a new interpreter takes. Timeouts by signal are safe because the work runs in the main thread of a
separate process.
"""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import re
import resource
import signal
import sys
from typing import Any, NoReturn

USED_UP = 3
"""Exit status of a child that has replied and must be replaced."""
# An inequality may answer a gold answer that can only be an interval; ``(1,2)`` may also be a point.
_INTERVAL = re.compile(r"\\infty|\\cup|\\in(?![a-z])|^\[.*[\])]$|^\(.*\]$|[<>]|\\[lg]e(?![a-z])")


class _OutOfTime(BaseException):
    """Raised by the timer. Not an Exception, so that no library catches it."""


def _on_timer(signum: int, frame: object) -> NoReturn:
    raise _OutOfTime


def speed_up_parser() -> None:
    """Replace two slow steps of the LaTeX parser by faster ones with the same results.

    The grammar uses ANTLR's SLL prediction, and its full LL prediction only if SLL finds no parse; ANTLR documents that
    SLL returns the same tree or a syntax error. Integers are created directly, because SymPy's ``Number`` evaluates
    each as Python source.
    """
    import sympy
    from antlr4 import PredictionMode
    from latex2sympy2_extended import latex2sympy2

    class TwoStageParser(latex2sympy2.PSParser):  # type: ignore[misc]
        def math(self) -> Any:
            self._input.fill()  # an invalid character raises here; on a second read it would be skipped
            self._interp.predictionMode = PredictionMode.SLL
            try:
                return super().math()
            except Exception:
                self._interp.predictionMode = PredictionMode.LL
                self.reset()
                return super().math()

    class Converter(latex2sympy2._Latex2Sympy):  # type: ignore[misc]
        def parse_number(self, text: str) -> Any:
            digits = text.replace(",", "")
            return sympy.Integer(digits) if digits.isdecimal() else super().parse_number(text)

    latex2sympy2.PSParser = TwoStageParser
    latex2sympy2._Latex2Sympy = Converter


@functools.lru_cache(maxsize=4096)
def parse_answer(text: str) -> list[Any]:
    """Parse LaTeX into symbolic form; empty if it contains no mathematical expression."""
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    normalization = NormalizationConfig(
        basic_latex=True,
        units=False,  # the caller handles units; these rules would also drop variables such as ``ab``
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
    """Replace the symbol i by the imaginary unit."""
    import sympy

    if isinstance(expression, sympy.Expr):
        return expression.subs({symbol: sympy.I for symbol in expression.free_symbols if str(symbol) == "i"})
    return expression


def judge(gold: str, answer: str) -> str:
    """Compare two LaTeX expressions: return ``equal``, ``different`` or ``gold_unparseable``."""
    from math_verify import verify

    try:
        gold_parsed = parse_answer(gold)
    except Exception:  # parsers may raise anything
        gold_parsed = []
    if not gold_parsed:
        return "gold_unparseable"
    try:
        answer_parsed = parse_answer(answer)
        if not answer_parsed:
            return "different"
        if "%" not in gold + answer and differ_in_value(gold_parsed[0], answer_parsed[0]):
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
    except Exception:  # likewise; an answer that cannot be compared is not known to be equal
        return "different"
    return "equal" if same else "different"


def differ_in_value(gold: Any, answer: Any) -> bool:
    """Return True if two expressions clearly differ at one point, which is cheaper than simplifying their difference.

    Tuples differ if one of their elements does. The margin is far above the rounding errors of the comparison that
    follows, which decides all other cases.
    """
    import sympy

    if isinstance(gold, sympy.Tuple) and isinstance(answer, sympy.Tuple) and len(gold) == len(answer):
        return any(map(differ_in_value, gold, answer))
    if not (isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr)):
        return False
    if gold.is_Symbol or answer.is_Symbol:
        return False  # names are compared as text
    symbols = gold.free_symbols | answer.free_symbols
    places = {name: place for place, name in enumerate(sorted({str(symbol) for symbol in symbols}))}
    # By name: the parser creates different symbols for x in real and in complex expressions.
    point = {symbol: sympy.Rational(7310585 + 4142136 * places[str(symbol)], 10**7) for symbol in symbols}
    try:
        first, second = (complex(side.evalf(15, subs=point, strict=True)) for side in (gold, answer))
        return abs(first - second) > max(1e-5, 1e-9 * max(abs(first), abs(second)))
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False


def _limited(gold: str, answer: str, seconds: float) -> str:
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The kernel's limit ends computations in C code that no Python signal handler can interrupt, even if the parent
    # has died.
    ceiling = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
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


def _read_line() -> str:
    """Read one request, empty at the end of input. Requests are sent one at a time, so none follows in the buffer."""
    line = bytearray()
    while not line.endswith(b"\n") and (part := os.read(0, 65536)):
        line += part
    return line.decode()


def _serve(replies: int, seconds: float) -> NoReturn:
    """Answer requests in the child until the input ends or a request fails."""
    while line := _read_line():
        gold, answer = json.loads(line)
        verdict = _limited(gold, answer, seconds)
        os.write(replies, f"{verdict}\n".encode())
        if verdict in ("timeout", "crashed"):
            # The interruption may have left the libraries' caches inconsistent.
            os._exit(USED_UP)
    os._exit(0)


def main() -> None:
    """Fork one child after another until one exits because the input has ended."""
    seconds, memory_mb = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    replies = os.dup(1)
    os.dup2(2, 1)  # output of libraries must not mix with verdicts
    signal.signal(signal.SIGPROF, _on_timer)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    speed_up_parser()
    judge("1+x", "x+1")  # import everything before the first time limit
    gc.freeze()  # imported objects are not garbage collected, and so not copied into the children
    os.write(replies, b"ready\n")
    while True:
        child = os.fork()
        if child == 0:
            _serve(replies, seconds)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        if status != USED_UP:
            os.write(replies, b"timeout\n" if status == -signal.SIGXCPU else b"crashed\n")


if __name__ == "__main__":
    main()
