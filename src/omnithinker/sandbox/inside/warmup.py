"""Warm-up of the fork server: run there first what every child runs.

A fork shares memory until one side writes to it, and most of the cost of a short run is copying pages. The interpreter
writes during its first passes through code (specialized instructions, method caches, buffers); the warm-up makes these
writes once, before the fork, so that all children share the result.
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
"""Repetitions; more than twice as many as the interpreter needs to specialize code."""
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
    "program": ["Solution"],
    "uses": ["Solution"],
    "attributes": ["f"],
    "exceptions": [],
    "objects": [],
    "classes": [],
}


def warm_up(names: dict[str, Any], jail: Jail, reporter: Reporter) -> None:
    """Run small programs in every mode, then restore modules and streams.

    Args:
        names: the preamble, built-ins included.
        jail: the jail that children will enter.
        reporter: the reporter that children will use. Its descriptor and that of requests must be free.
    """
    modules, streams = dict(sys.modules), (sys.stdin, sys.stdout)
    _move(os.open(os.devnull, os.O_WRONLY), runner.REPORT)
    for _ in range(_ROUNDS):
        jail.warm_up()
        sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(_INPUT)), io.TextIOWrapper(io.BytesIO())
        for request in (_CALLS, _PROGRAM):
            _write_request(request)
            runner.answer(names, reporter)
        sys.stdin, sys.stdout = streams
    for own, other in ((_JUDGE, _SOLVER), (_SOLVER, _JUDGE)):
        _run_pair(own, other, names, reporter)
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


def _run_pair(own: dict[str, Any], other: dict[str, Any], names: dict[str, Any], reporter: Reporter) -> None:
    """Run one half of a judge/solver pair in this process and the other in a child."""
    own_end, other_end = socket.socketpair()
    child = os.fork()
    request, used, unused = (other, other_end, own_end) if child == 0 else (own, own_end, other_end)
    unused.close()
    runner.serve(request, names, reporter, Channel(used.fileno()))
    if child == 0:
        os._exit(0)
    used.close()
    os.waitpid(child, 0)
