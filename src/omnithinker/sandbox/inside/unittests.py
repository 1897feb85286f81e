"""Run ``unittest`` classes in the program's own process. This trusts the program; the verdict is marked accordingly.

A program that wants to can always forge the verdict. Two checks find the usual ways: a canary, a test with a random
name that must fail, and a comparison of :class:`unittest.TestCase` with its state before the program was loaded.
"""

from __future__ import annotations

import types
import unittest
from typing import Any

from omnithinker.sandbox.inside.report import Reporter, describe_error


class _Collector(unittest.TestResult):
    """Collects the outcome of each test: None if it passed, else the error."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, str | None] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:
        """Record a pass."""
        self.outcomes.setdefault(_name(test), None)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """Record an error."""
        self.outcomes[_name(test)] = describe_error(err[1])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Record a failed assertion."""
        self.outcomes[_name(test)] = describe_error(err[1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """Record a skipped test as not passed."""
        self.outcomes[_name(test)] = f"skipped: {reason}"

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """Record a failed subtest."""
        if err is not None:
            self.outcomes[_name(test)] = describe_error(err[1])


def _name(test: unittest.TestCase) -> str:
    return f"{type(test).__name__}.{test._testMethodName}"


def run_unittests(code: types.CodeType, module: types.ModuleType, request: dict[str, Any], reporter: Reporter) -> None:
    """Run the tests named in the request in the program's namespace and report each.

    Args:
        code: the compiled program.
        module: the module that the program runs in.
        request: ``source`` of the tests, ``names`` of the form ``Class.method``, and ``canary``, a name.
        reporter: destination of the results.
    """
    suite_class, collector, case = unittest.TestSuite, _Collector(), unittest.TestCase
    attributes = list(case.__dict__.items())
    canary = type(request["canary"], (unittest.TestCase,), {"test": lambda self: self.fail()})
    try:
        exec(code, module.__dict__)
        exec(compile(request["source"], "<tests>", "exec"), module.__dict__)
        tests = [getattr(module, owner)(method) for owner, method in map(_split, request["names"])]
    except BaseException as error:
        reporter.send(stage="load", error=describe_error(error))
        return
    suite_class([canary("test"), *tests]).run(collector)
    for index, name in enumerate(request["names"]):
        reporter.send(i=index, error=collector.outcomes.get(name, "was not run"))
    canary_failed = collector.outcomes.get(f"{request['canary']}.test") is not None
    # Without built-in functions, which the program may have replaced.
    changed = [name for name, value in attributes if case.__dict__.get(name) is not value]
    reporter.send(stage="done", canary_failed=canary_failed and not changed)


def _split(name: str) -> tuple[str, str]:
    owner, _, method = name.partition(".")
    return owner, method
