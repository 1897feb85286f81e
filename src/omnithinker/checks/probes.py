"""Completions whose reward is known beforehand, made from a row's own gold fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omnithinker.rewards.math_answer import gold_body, gold_text
from omnithinker.rewards.math_text import as_number
from omnithinker.rewards.short_answer import normalise_answer, reference_answers
from omnithinker.rewards.unit_tests import extract_code
from omnithinker.sandbox import parse_tests
from omnithinker.sandbox.cheats import cheats, constant_programs

UNLIKELY = "-987654.321"
"""Given as the wrong answer where the gold answer is no plain number."""
NONSENSE = "..."
"""Given to a judge as a text that nobody prefers."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One completion for a row."""

    name: str
    """What it is, such as ``gold``."""
    text: str
    """The completion."""
    expected: float | None
    """The value that the component must give; None if none is known and the value is only shown."""
    field: str
    """Field of the row that it was made from."""
    role: Literal["plain", "shown", "constant", "cheat"] = "plain"
    """What is ``shown`` may also be undefined. A ``constant`` that passes makes the row's tests too weak to tell a
    ``cheat`` from a program."""


def shaped(body: str) -> str:
    """A completion in the format of A.1 with this answer."""
    return f"<think> so </think> <answer> {body} </answer>"


def fenced(code: str) -> str:
    """A completion with this program."""
    return shaped(f"\n```python\n{code}\n```\n")


FORMAT = (
    Probe("in the format", shaped("7"), 1.0, "-"),
    Probe("bare text", "7", 0.0, "-"),
)
"""For components ``format`` and ``tags``, which do not look at rows."""


def math_probes(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[Probe]:
    """The gold answer, and a number that is provably another one."""
    wrong = wrong_number(gold_text(row), [gold_text(other) for other in others])
    return [
        Probe("gold answer", shaped(gold_body(row)), 1.0, "answer"),
        Probe("wrong answer", shaped(wrong), 0.0, "answer"),
    ]


def wrong_number(gold: str, others: Sequence[str]) -> str:
    """The first of other rows' gold answers that is another number than this one, by exact arithmetic.

    A percent sign may stand for a hundredth, so a hundredfold is not another number. Without such an answer, the
    number plus 1; where the gold answer is no number, one that it can hardly be equal to.
    """
    number = as_number(gold.removesuffix("%"))
    if number is None:
        return UNLIKELY
    same = {number, number * 100, number / 100}
    for other in others:
        value = as_number(other.removesuffix("%"))
        if value is not None and value not in same:
            return other
    return str(number + 1)


def short_answer_probes(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[Probe]:
    """Every right option and every other one; without options, the accepted answers and another row's."""
    accepted = reference_answers(row)
    given = row.get("answers", row.get("answer"))
    answers = [str(answer) for answer in (given if isinstance(given, list) else [given])]
    field = "answers" if "answers" in row else "answer"
    options = [str(option) for option in row.get("options") or ()]
    right = [option for option in options if normalise_answer(option) in accepted]
    probes = [Probe("gold answer", shaped(answer), 1.0, field) for answer in right or answers]
    if options:
        wrong = [option for option in options if normalise_answer(option) not in accepted]
        return probes + [Probe("other option", shaped(option), 0.0, "options") for option in wrong]
    strange = (answer for other in others for answer in reference_answers(other) if answer not in accepted)
    return probes + [Probe("wrong answer", shaped(answer), 0.0, field) for answer in [next(strange, UNLIKELY)]]


def judge_probes(row: Mapping[str, Any]) -> list[Probe]:
    """The reference against itself, where any verdict will do, and a text without words against it."""
    return [
        Probe("reference itself", shaped(str(row["reference"])), None, "reference"),
        Probe("nonsense", shaped(NONSENSE), 0.0, "reference"),
    ]


def program_probes(row: Mapping[str, Any], *, left_out: Sequence[str] | None) -> list[Probe]:
    """The row's reference solution, if it has one, and programs that must fail.

    Args:
        row: with field ``tests``, and perhaps one of those of :func:`reference_solution`.
        left_out: names of cheats to leave out; None to leave out all.
    """
    solution = reference_solution(row)
    probes = [] if solution is None else [Probe("reference solution", fenced(solution[1]), 1.0, solution[0])]
    if left_out is None:
        return probes
    tests = parse_tests(row["tests"])
    constants = [Probe("constant", fenced(code), None, "tests", "constant") for code in constant_programs(tests)]
    named = [(name, code) for name, code in sorted(cheats(tests).items()) if name not in left_out]
    return probes + constants + [Probe(name, fenced(code), 0.0, "tests", "cheat") for name, code in named]


def reference_solution(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Name of the field with a row's reference solution, and its program; None if there is none.

    ``solution`` (fenced or bare), ``solutions`` (TACO: a list, perhaps as JSON text; the first counts),
    ``canonical_solution`` (HumanEval and BigCodeBench: continues ``prompt`` or ``complete_prompt``), ``reference``
    inside ``extra_info`` (code-r1).
    """
    if isinstance(row.get("solution"), str):
        return "solution", _program(row["solution"])
    if isinstance(row.get("canonical_solution"), str):
        start = row.get("complete_prompt", row.get("prompt", ""))
        return "canonical_solution", f"{start}\n{row['canonical_solution']}"
    solutions = row.get("solutions")
    if isinstance(solutions, str):
        try:
            solutions = json.loads(solutions)
        except ValueError:
            solutions = None
    if isinstance(solutions, list) and solutions and isinstance(solutions[0], str):
        return "solutions", _program(solutions[0])
    extra = row.get("extra_info")
    if isinstance(extra, Mapping) and isinstance(extra.get("reference"), str):
        return "extra_info.reference", _program(extra["reference"])
    return None


def _program(text: str) -> str:
    """Code out of its fences, if it has any."""
    return extract_code(f"<answer>{text}</answer>") or text


def external_probes(row: Mapping[str, Any]) -> list[Probe]:
    """A completion that a gold field of the row suggests, for rewards that are not ours."""
    solution = reference_solution(row)
    if solution is not None:
        return [Probe("gold", fenced(solution[1]), None, solution[0], "shown")]
    for field in ("answer", "answers", "reference"):
        if field in row:
            value = row[field][0] if isinstance(row[field], list) and row[field] else row[field]
            return [Probe("gold", shaped(str(value)), None, field, "shown")]
    return [Probe("no gold field", shaped("7"), None, "-", "shown")]
