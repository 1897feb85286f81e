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


def adapt_parser() -> None:
    """Replace two slow steps of the LaTeX parser by faster ones with the same results, and a wrong one.

    The grammar uses ANTLR's SLL prediction, and its full LL prediction only if SLL finds no parse; ANTLR documents that
    SLL returns the same tree or a syntax error. Integers are created directly, because SymPy's ``Number`` evaluates
    each as Python source. The parser computes gcd and lcm of polynomials, of which the names ``a`` and ``b`` have the
    divisor 1; they stay as they are unless all arguments are numbers.
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

        def handle_gcd_lcm(self, f: str, args: Any) -> Any:
            if len(args) == 1 or all(sympy.nsimplify(argument).is_Rational for argument in args):
                return super().handle_gcd_lcm(f, args)
            return sympy.Function(f)(*sorted(set(args), key=sympy.default_sort_key))

    latex2sympy2.PSParser = TwoStageParser
    latex2sympy2._Latex2Sympy = Converter


class NoValueError(Exception):
    """Raised for an expression without a value, such as ``1/0``."""


@functools.lru_cache(maxsize=4096)
def parse_answer(text: str) -> list[Any]:
    """Parse LaTeX into symbolic form; empty if it contains no mathematical expression.

    Raises:
        NoValueError: if the expression has no value.
    """
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
    # Only texts with these letters or an equation have anything to replace.
    parsed = [_standard(item) for item in parsed] if any(letter in text for letter in "di=") else parsed
    for item in parsed:
        _value_of(item)
    return parsed


def _value_of(expression: Any) -> Any:
    r"""Return an expression evaluated from the inside out, since the parser evaluates nothing.

    Raises:
        NoValueError: if a part has no value: a division by zero, ``\log 0``, ``\infty-\infty``.
    """
    import sympy

    if isinstance(expression, sympy.MatrixBase):
        parts, value = [_value_of(entry) for entry in expression], expression
    elif not isinstance(expression, sympy.Basic):
        return expression
    else:
        parts = [_value_of(part) for part in expression.args]
        # Others, such as equations, have no value of their own, or one that takes long to compute.
        computed = isinstance(expression, sympy.Add | sympy.Mul | sympy.Pow | sympy.Function) and parts
        value = expression.func(*parts) if computed else expression
    if value in (sympy.zoo, sympy.nan):
        raise NoValueError
    return value


def _standard(expression: Any) -> Any:
    """Replace the symbol i by the imaginary unit, derivatives of names by symbols, and chains by first = last side."""
    import sympy
    from sympy.core.function import AppliedUndef

    if isinstance(expression, sympy.And) and all(isinstance(part, sympy.Eq) for part in expression._unsorted_args):
        sides = expression._unsorted_args
        expression = sympy.Eq(sides[0].lhs, sides[-1].rhs, evaluate=False)
    if isinstance(expression, sympy.Eq):
        return sympy.Eq(_standard(expression.lhs), _standard(expression.rhs), evaluate=False)
    if isinstance(expression, sympy.FiniteSet | sympy.Tuple):
        return expression.func(*map(_standard, expression.args))
    if not isinstance(expression, sympy.Expr):
        return expression
    # The derivative of a name is 0 for computer algebra, which knows nothing of functions that are not written out.
    names = {
        item: sympy.Symbol(f"d_{item}", real=True)
        for item in expression.atoms(sympy.Derivative)
        if item.expr.is_Symbol or isinstance(item.expr, AppliedUndef)
    }
    names |= {symbol: sympy.I for symbol in expression.free_symbols if str(symbol) == "i"}
    return expression.subs(names) if names else expression


def judge(gold: str, answer: str) -> str:
    """Compare two LaTeX expressions, or lists with one element per line that are equal as sets.

    Returns:
        ``equal``, ``different`` or ``gold_unparseable``. Equal texts are equal unless they have no value.
    """
    try:
        golds = [parse_answer(part) for part in gold.split("\n")]
    except NoValueError:
        return "gold_unparseable"
    except Exception:  # parsers may raise anything
        golds = [[]]
    if gold == answer:
        return "equal"
    if not all(golds):
        return "gold_unparseable"
    try:
        answers = [parse_answer(part) for part in answer.split("\n")]
        if not all(answers):
            return "different"
        interval = _INTERVAL.search(gold) is not None
        percent = "%" in gold + answer
        if len(golds) == len(answers) == 1:
            same = _same(golds[0], answers[0], interval, percent)
        else:
            same = _same_sets(_flat(golds), _flat(answers), percent)
    except MemoryError:
        raise
    except Exception:  # likewise; an answer that cannot be compared is not known to be equal
        return "different"
    return "equal" if same else "different"


def _flat(parsed: list[list[Any]]) -> list[list[Any]]:
    r"""Replace sets in a list, such as that of ``\pm 3``, by their elements."""
    import sympy

    values = [[item[0].doit() if isinstance(item[0], sympy.Set) else item[0], *item[1:]] for item in parsed]
    lists = [[[e] for e in item[0].args] if isinstance(item[0], sympy.FiniteSet) else [item] for item in values]
    return [item for items in lists for item in items]


def _same_sets(golds: list[list[Any]], answers: list[list[Any]], percent: bool) -> bool:
    """Return True if every element of each list equals one of the other."""
    found: set[int] = set()
    for gold in golds:
        equal = {place for place, answer in enumerate(answers) if _same(gold, answer, False, percent)}
        if not equal:
            return False
        found |= equal
    return len(found) == len(answers)


def _same(gold: list[Any], answer: list[Any], interval: bool, percent: bool) -> bool:
    import sympy
    from math_verify import verify

    first, second = _common_symbols(gold[0], answer[0])
    if isinstance(first, sympy.logic.boolalg.BooleanAtom) or isinstance(second, sympy.logic.boolalg.BooleanAtom):
        return False  # a truth value does not tell what was true
    if isinstance(first, sympy.Eq) and isinstance(second, sympy.Eq):
        return _same_equations(first, second)
    relational = sympy.core.relational.Relational
    if isinstance(first, relational) and isinstance(second, relational) and not first.free_symbols:
        pairs = zip(first.args, second.args, strict=True)
        return type(first) is type(second) and all(_same([ours], [theirs], False, percent) for ours, theirs in pairs)
    if (
        isinstance(first, sympy.Eq)
        and not first.lhs.free_symbols
        and not isinstance(second, sympy.core.relational.Relational)
    ):
        first = first.rhs  # a computation and its result
    if not percent and differ_in_value(first, second):
        return False
    # For a single name the library compares texts only.
    name = isinstance(first, sympy.Expr) and isinstance(second, sympy.Expr) and first.is_Symbol is not second.is_Symbol
    if name and sympy.simplify(first - second) == 0:
        return True
    return bool(
        verify(
            [first, *gold[1:]],
            [second, *answer[1:]],
            timeout_seconds=None,
            raise_on_error=True,
            allow_set_relation_comp=interval,
        )
    )


def _common_symbols(gold: Any, answer: Any) -> tuple[Any, Any]:
    """Use the same symbols in both: the parser takes x as real, but not beside the imaginary unit."""
    import sympy

    if not (isinstance(gold, sympy.Basic) and isinstance(answer, sympy.Basic)):
        return gold, answer
    ours, theirs = gold.free_symbols, answer.free_symbols
    if ours == theirs or {str(symbol) for symbol in ours - theirs}.isdisjoint(map(str, theirs - ours)):
        return gold, answer
    plain = {symbol: sympy.Symbol(str(symbol), complex=True) for symbol in ours | theirs}
    return gold.subs(plain), answer.subs(plain)


def _same_equations(gold: Any, answer: Any) -> bool:
    """Return True if one equation is a multiple of the other, or both have the same, not empty, solutions.

    Equations that hold always or never are compared side by side: computer algebra replaces them by a truth value.
    """
    import sympy
    from math_verify import verify

    if all(_same([a], [b], False, False) for a, b in ((gold.lhs, answer.lhs), (gold.rhs, answer.rhs))):
        return True
    if all(_same([a], [b], False, False) for a, b in ((gold.lhs, answer.rhs), (gold.rhs, answer.lhs))):
        return True
    if not all(isinstance(side, sympy.Expr) for side in (*gold.args, *answer.args)):
        return bool(verify([gold], [answer], timeout_seconds=None, raise_on_error=True))
    first, second = (equation.lhs - equation.rhs for equation in (gold, answer))
    if not first.free_symbols or {str(s) for s in first.free_symbols} != {str(s) for s in second.free_symbols}:
        return False
    ratio = sympy.simplify(second / first)
    if not ratio.free_symbols:
        return bool(sympy.simplify(first).free_symbols and ratio.is_finite and ratio.is_nonzero)
    if any(sympy.Eq(*equation.args) in (sympy.true, sympy.false) for equation in (gold, answer)):
        return False
    if not (sympy.solve(first, dict=True) and sympy.solve(second, dict=True)):
        return False
    return bool(verify([gold], [answer], timeout_seconds=None, raise_on_error=True))


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
        scale, distance = max(abs(first), abs(second)), abs(first - second)
        if distance > max(1e-5, 1e-9 * scale):
            return True
        return not symbols and _differ_closely(gold, answer, distance, scale)
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False


def _differ_closely(gold: Any, answer: Any, distance: float, scale: float) -> bool:
    """Return True if two constants differ although a comparison with a fixed number of decimals may not see it.

    Of a decimal, three significant digits are compared if the number is small. Other constants are exact.
    """
    import sympy

    if gold.has(sympy.Float) or answer.has(sympy.Float):
        return scale < 1e-3 and distance > 1e-3 * scale
    if distance > 1e-9 * scale:
        return True
    if scale < 1e-300:  # too small for floating point
        if gold.is_zero or answer.is_zero:
            return bool(gold.is_zero) is not bool(answer.is_zero)
        return bool(abs((gold / answer).evalf(15) - 1) > 1e-9)
    difference = (gold - answer).doit()
    return bool(difference.is_Rational and difference != 0)


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
    adapt_parser()
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
