"""Reward for programs: 1 if the program in the answer passes every test, else 0 (A.1: product over test cases)."""

from __future__ import annotations

import dataclasses
import json
import textwrap
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal, Self

from omnithinker.config.recipe import Recipe
from omnithinker.errors import DataError, SandboxError
from omnithinker.rewards.answers import NO_COMPLETION, AnswerFinder, AnswerSettings, in_completions, python_blocks
from omnithinker.rewards.base import Reward
from omnithinker.rewards.probes import Probe, ProbeContext
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.row_fields import RowField
from omnithinker.sandbox import Result, Sandbox, Status, Tests, parse_tests, refusal
from omnithinker.sandbox.cheats import SLOW, cheats, constant_programs
from omnithinker.sandbox.requirements import explain_failure
from omnithinker.types import Prompt, RewardOutput, Trajectory, Undefined, Value

_TOLERATED_FAILURES = 3
_TOLERATED_SHARE = 0.01
CHEAT_ROWS = 20
"""Rows per task on which ``check`` tries cheats."""
SLOW_CHEAT_ROWS = 2
"""Rows per task on which ``check`` tries cheats that only a time limit ends."""


VERBATIM_IN_TAGS = AnswerFinder(verbatim=True)


def extract_code(text: str, finder: AnswerFinder = VERBATIM_IN_TAGS) -> str | None:
    """Return the program of a completion; None if it has none.

    The program consists of all fenced blocks in the answer that are marked as Python or not marked. A block without a
    closing fence ends with the answer. Without fences, the whole answer is the program. Common indentation of a block
    is removed, and so is white space between ``<answer>`` and the first word.

    Args:
        text: The completion.
        finder: Search for the answer, verbatim.
    """
    body = finder.find(text)
    if body is None:
        return None
    blocks = python_blocks(body)
    code = _unindent(body) if blocks is None else "\n\n".join(textwrap.dedent(block) for block in blocks)
    return code.strip("\n") if code.strip() else None


def _unindent(body: str) -> str:
    """Remove common indentation from bare code, or the indentation of the first line if only that is indented."""
    return textwrap.dedent(body.rstrip()).lstrip()


class UnitTests(Reward):
    """1 if the program passes all tests in row field ``tests``, else 0.

    A completion without a program scores 0. Malformed tests and sandbox failures are undefined. Equal programs of a
    group run once.

    Args:
        sandbox: Runs the programs; its slots are shared with other groups.
        finder: Search for the answer.
    """

    class Settings(AnswerSettings):
        """Settings of ``unit_tests``."""

        verbatim: ClassVar[bool] = True
        unsuitable: ClassVar[frozenset[str]] = frozenset({"boxed", "last_number"})

        kind: Literal["unit_tests"] = "unit_tests"

    row_fields = (RowField(("tests",), (str, dict, list), parse_tests),)
    needs_sandbox = True
    missing_probe_notes: ClassVar = {
        "reference solution": "no row has a reference solution, so it is unknown whether the tests can be passed",
        "empty program": NO_COMPLETION,
    }

    @classmethod
    def build(cls, settings: Settings, place: str, resources: Resources) -> Self:
        """Create the reward with the shared sandbox."""
        return cls(resources.sandbox(), settings.finder)

    @classmethod
    def refusal(cls, row: Mapping[str, Any], recipe: Recipe) -> str | None:
        """Return what the recipe's sandbox cannot do for the row's tests."""
        return refusal(parse_tests(row["tests"]), recipe.sandbox)

    @classmethod
    def probes(cls, row: Mapping[str, Any], context: ProbeContext) -> list[Probe]:
        """Return the row's reference solution, if any, and programs that must fail."""
        programs = []
        if (solution := reference_solution(row)) is not None:
            programs.append(Probe("reference solution", solution[1], 1.0, solution[0]))
        if context.position < CHEAT_ROWS:
            skipped = () if context.position < SLOW_CHEAT_ROWS else SLOW
            tests = parse_tests(row["tests"])
            programs += [Probe("constant", code, None, "tests", "constant") for code in constant_programs(tests)]
            programs += [
                Probe(name, code, 0.0, "tests", "cheat")
                for name, code in sorted(cheats(tests).items())
                if name not in skipped
            ]
        return in_completions(context, programs, program=True)

    def __init__(self, sandbox: Sandbox, finder: AnswerFinder = VERBATIM_IN_TAGS) -> None:
        self.sandbox = sandbox
        self._finder = finder
        self._threads = ThreadPoolExecutor(sandbox.slots, thread_name_prefix="unit-tests")
        self._lock = threading.Lock()
        self._runs = 0
        self._failures = 0

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> Sequence[Value]:
        """Return [G] values.

        Raises:
            SandboxError: if the sandbox itself failed in more than 1% of all runs.
        """
        return [_value(outcome) for outcome in self.outcomes(prompt, completions, stop_early=True)]

    def score_group_with_details(self, prompt: Prompt, completions: Sequence[Trajectory]) -> Sequence[RewardOutput]:
        """Run every test and return [G] values with the program and all fields of :class:`Result`.

        Raises:
            SandboxError: see :meth:`score_group`.
        """
        outcomes = self.outcomes(prompt, completions)
        programs = [extract_code(completion.text, self._finder) for completion in completions]
        return [
            RewardOutput(_value(outcome), _details(program, outcome))
            for program, outcome in zip(programs, outcomes, strict=True)
        ]

    def outcomes(
        self, prompt: Prompt, completions: Sequence[Trajectory], *, stop_early: bool = False
    ) -> list[Result | Undefined | None]:
        """Return [G] results of the completions' programs; None for a completion without a program.

        Raises:
            SandboxError: see :meth:`score_group`.
        """
        try:
            tests = parse_tests(prompt.row.get("tests"))
        except DataError as error:
            return [Undefined("invalid_tests", str(error)) for _ in completions]
        programs = [extract_code(completion.text, self._finder) for completion in completions]
        distinct = [program for program in dict.fromkeys(programs) if program is not None]
        if len(distinct) == 1:
            results = [self._run(distinct[0], tests, stop_early)]
        else:
            results = list(self._threads.map(lambda program: self._run(program, tests, stop_early), distinct))
        by_program = dict(zip(distinct, results, strict=True))
        return [None if program is None else by_program[program] for program in programs]

    def _run(self, program: str, tests: Tests, stop_early: bool) -> Result:
        result = self.sandbox.run(program, tests, stop_early=stop_early)
        with self._lock:
            self._runs += 1
            self._failures += result.status is Status.SANDBOX_ERROR
            runs, failures = self._runs, self._failures
        if failures >= _TOLERATED_FAILURES and failures > _TOLERATED_SHARE * runs:
            raise SandboxError(f"the sandbox failed in {failures} of {runs} runs; last failure: {result.detail}")
        return result


def _value(outcome: Result | Undefined | None) -> Value:
    if outcome is None:
        return 0.0
    return outcome if isinstance(outcome, Undefined) else reward_of(outcome)


def _details(program: str | None, outcome: Result | Undefined | None) -> dict[str, Any]:
    match outcome:
        case Result():
            lacks = explain_failure(outcome.detail)
            details = {"program": program} | dataclasses.asdict(outcome)
            return details | ({"detail": f"{outcome.detail}; {lacks}"} if lacks else {})
        case Undefined():
            return {"program": program, "undefined": outcome.detail}
    return {"program": None, "detail": "no program in the answer"}


def reward_of(result: Result) -> Value:
    """Return 1 if the program passed, 0 if it failed, undefined if the run says nothing about the program."""
    if result.status is Status.SANDBOX_ERROR:
        return Undefined("sandbox_error", result.detail)
    if result.status is Status.INVALID_TASK:
        return Undefined("invalid_tests", result.detail)
    return float(result.status is Status.PASSED)


def reference_solution(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return field name and program of a row's reference solution; None if it has none.

    Read are ``solution`` (fenced or bare), ``canonical_solution`` (HumanEval and BigCodeBench: continues ``prompt`` or
    ``complete_prompt``), the first of ``solutions`` (TACO: a list, possibly as JSON text), and ``reference`` in
    ``extra_info`` (code-r1).
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
        except (ValueError, RecursionError):
            solutions = None
    if isinstance(solutions, list) and solutions and isinstance(solutions[0], str):
        return "solutions", _program(solutions[0])
    extra = row.get("extra_info")
    if isinstance(extra, Mapping) and isinstance(extra.get("reference"), str):
        return "extra_info.reference", _program(extra["reference"])
    return None


def _program(text: str) -> str:
    """Return the code in a text's fences, or the text if it has none."""
    return extract_code(f"<answer>{text}</answer>") or text
