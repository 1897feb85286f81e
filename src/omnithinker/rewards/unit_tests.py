"""Reward for programs: 1 if the program in the answer passes every test, else 0 (A.1: product over test cases)."""

from __future__ import annotations

import dataclasses
import re
import textwrap
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from omnithinker.errors import DataError, SandboxError
from omnithinker.rewards.answers import answer_body
from omnithinker.sandbox import Result, Sandbox, Status, Tests, parse_tests
from omnithinker.types import Prompt, RewardOutput, Trajectory, Undefined, Value

_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_PYTHON = ("", "python", "python3", "py")
_TOLERATED_FAILURES = 3
_TOLERATED_SHARE = 0.01


def extract_code(text: str) -> str | None:
    """The program of a completion, or None when there is none.

    It is in the last ``<answer>`` body: all fenced blocks marked as Python, or not marked, one after the other;
    a fence left open ends with the body. Without fences the whole body is taken as code. Indentation that all lines
    of a block share is taken off, and so is space between ``<answer>`` and the first word.
    """
    body = answer_body(text)
    if body is None:
        return None
    fences = _FENCE.findall(body)
    blocks = [block for language, block in fences if language.lower() in _PYTHON]
    code = "\n\n".join(textwrap.dedent(block) for block in blocks) if fences else _unindent(body)
    return code.strip("\n") if code.strip() else None


def _unindent(body: str) -> str:
    """Bare code without common indentation, or, where the first line alone is indented, without that."""
    return textwrap.dedent(body.rstrip()).lstrip()


class UnitTests:
    """Runs programs against the tests in row field ``tests``.

    No program, or one that fails any test, is 0. Malformed tests and a sandbox that failed twice are undefined.
    Equal programs of a group run once.

    Args:
        sandbox: where they run; the group's programs share its slots with other groups.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._threads = ThreadPoolExecutor(sandbox.slots, thread_name_prefix="unit-tests")
        self._lock = threading.Lock()
        self._runs = 0
        self._failures = 0

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> Sequence[Value]:
        """[G] values.

        Raises:
            SandboxError: more than 1 % of all runs failed for reasons that are not the programs'.
        """
        return [_value(outcome) for outcome in self.outcomes(prompt, completions, stop_early=True)]

    def explain_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> Sequence[RewardOutput]:
        """[G] values, each with its program and all fields of :class:`Result`; every test is run.

        Raises:
            SandboxError: as for :meth:`score_group`.
        """
        outcomes = self.outcomes(prompt, completions)
        programs = [extract_code(completion.text) for completion in completions]
        return [
            RewardOutput(_value(outcome), _details(program, outcome))
            for program, outcome in zip(programs, outcomes, strict=True)
        ]

    def outcomes(
        self, prompt: Prompt, completions: Sequence[Trajectory], *, stop_early: bool = False
    ) -> list[Result | Undefined | None]:
        """[G] what each completion's program did; None without a program, for people who debug a reward.

        Raises:
            SandboxError: as for :meth:`score_group`.
        """
        try:
            tests = parse_tests(prompt.row.get("tests"))
        except DataError as error:
            return [Undefined("invalid_tests", str(error)) for _ in completions]
        programs = [extract_code(completion.text) for completion in completions]
        distinct = [program for program in dict.fromkeys(programs) if program is not None]
        if len(distinct) == 1:
            results = [self._run(distinct[0], tests, stop_early)]
        else:
            results = list(self._threads.map(lambda program: self._run(program, tests, stop_early), distinct))
        known = dict(zip(distinct, results, strict=True))
        return [None if program is None else known[program] for program in programs]

    def _run(self, program: str, tests: Tests, stop_early: bool) -> Result:
        result = self.sandbox.run(program, tests, stop_early=stop_early)
        with self._lock:
            self._runs += 1
            self._failures += result.status is Status.SANDBOX_ERROR
            runs, failures = self._runs, self._failures
        if failures >= _TOLERATED_FAILURES and failures > _TOLERATED_SHARE * runs:
            raise SandboxError(f"the sandbox failed in {failures} of {runs} runs, last with: {result.detail}")
        return result


def _value(outcome: Result | Undefined | None) -> Value:
    if outcome is None:
        return 0.0
    return outcome if isinstance(outcome, Undefined) else reward_of(outcome)


def _details(program: str | None, outcome: Result | Undefined | None) -> dict[str, Any]:
    match outcome:
        case Result():
            return {"program": program} | dataclasses.asdict(outcome)
        case Undefined():
            return {"program": program, "undefined": outcome.detail}
    return {"program": None, "detail": "no program in an <answer>"}


def reward_of(result: Result) -> Value:
    """Reward of a result: 1 passed, 0 not passed, undefined where the result says nothing of the program."""
    if result.status is Status.SANDBOX_ERROR:
        return Undefined("sandbox_error", result.detail)
    if result.status is Status.INVALID_TASK:
        return Undefined("invalid_tests", result.detail)
    return float(result.status is Status.PASSED)
