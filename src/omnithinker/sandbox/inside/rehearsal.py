"""What every child does, done in the fork server first.

A fork shares memory until one side writes to it, and most of what a short run costs is the copying of pages. What the
interpreter writes on its first passes through some code (specialised instructions, caches of methods, buffers)
is written here once, and then shared.
"""

from __future__ import annotations

import io
import marshal
import os
import socket
import sys
from typing import Any

from omnithinker.sandbox.inside import runner
from omnithinker.sandbox.inside.channel import Channel
from omnithinker.sandbox.inside.confine import Jail
from omnithinker.sandbox.inside.report import Reporter

_ROUNDS = 20
"""The interpreter specialises code that has run a few times; more than twice as often as that."""
_SOLUTION = """
from typing import List
class Solution:
    def f(self, x: List[int], k=0) -> int:
        seen = {}
        for i, v in enumerate(sorted(x)):
            seen[v] = i
        return [len(seen), sum(x), max(k, 1), str(k)]
"""
_CALLS = {"mode": "call", "code": _SOLUTION, "fn_name": "f", "calls": [[[[1, 2]], {"d": [["k", 1]]}]] * 2}
_PROGRAM = {
    "mode": "stdio",
    "code": """
import sys
def main():
    n = int(input())
    a, b = map(int, input().split())
    print(a + b, n, *range(2), sep=" ")
    for line in sys.stdin:
        print(line.strip())
main()
""",
}
_INPUT = b"1\n2 3\nx\n"
_SOLVER = {"mode": "solver", "code": _SOLUTION}
_JUDGE = {
    "mode": "judge",
    "sources": ["assert Solution().f([1, 2])[:2] == [2, 3]"] * _ROUNDS,
    "preamble": "",
    "entry_point": None,
    "uses": ["Solution"],
}


def rehearse(names: dict[str, Any], jail: Jail, reporter: Reporter) -> None:
    """Run small programs in every mode, without a trace but for the warmth.

    Args:
        names: the preamble, built-in names included.
        jail: that children will enter.
        reporter: that children will use; its descriptor must be free, as must that of requests.
    """
    modules, streams = dict(sys.modules), (sys.stdin, sys.stdout)
    _move(os.open(os.devnull, os.O_WRONLY), runner.REPORT)
    for _ in range(_ROUNDS):
        jail.rehearse()
        sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(_INPUT)), io.TextIOWrapper(io.BytesIO())
        for request in (_CALLS, _PROGRAM):
            _write_request(request)
            runner.answer(names, reporter)
        sys.stdin, sys.stdout = streams
    for mine, theirs in ((_JUDGE, _SOLVER), (_SOLVER, _JUDGE)):
        _pair(mine, theirs, names, reporter)
    os.close(runner.REPORT)
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    sys.modules.update(modules)


def _write_request(request: dict[str, Any]) -> None:
    file = os.memfd_create("request")
    os.write(file, marshal.dumps(request))
    os.lseek(file, 0, os.SEEK_SET)
    _move(file, runner.REQUEST)


def _move(descriptor: int, number: int) -> None:
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)


def _pair(mine: dict[str, Any], theirs: dict[str, Any], names: dict[str, Any], reporter: Reporter) -> None:
    """One half of a judge/solver pair here, the other in a process that ends with it."""
    here, there = socket.socketpair()
    child = os.fork()
    role, end, other = (theirs, there, here) if child == 0 else (mine, here, there)
    other.close()
    runner.serve(role, names, reporter, Channel(end.fileno()))
    if child == 0:
        os._exit(0)
    end.close()
    os.waitpid(child, 0)
