"""Throughput of the sandbox beside the designs of public checkers, in one run on one machine.

    python benchmarks/sandbox.py [--runs 400] [--slots 2] [--ballast-gb 3] [--preload numpy]

The peers are re-created from their published shape, none of their code (evalplus itself is measured too, where it
is installed): evalplus (a forked process per run with shared
memory for the outcome and a set of functions removed), LiveCodeBench (a manager process and a forked process per run;
verl's prime_code has the same shape), and a fresh interpreter per run. None of them confines anything. CPU time
is that of this process and all its children, fork servers included. The last line has the aims that were met, and
how many times as many runs per second ours does as the best of the others.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from omnithinker.sandbox import ForkServer, SandboxSettings, Status, parse_tests

CODE = "def add(a, b):\n    return a + b\n"
CALLS = [[1, 2], [3, 4], [0, 0], [5, 5], [-1, 1]]
EXPECTED = [3, 7, 0, 10, 0]
STDIO_CODE = "a, b = map(int, input().split())\nprint(a + b)\n"
CONTEXT = multiprocessing.get_context("fork")


def _guard() -> None:
    """Roughly what the checkers' reliability guards do: limit memory, take away dangerous functions."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    for name in ("kill", "system", "remove", "rename", "fork", "rmdir", "chmod", "chown", "unlink"):
        setattr(os, name, None)
    subprocess.Popen = None  # type: ignore[assignment, misc]


def _deadline(*_: object) -> None:
    raise TimeoutError


def _shared_memory_child(status: Any, passed: Any) -> None:
    _guard()
    signal.signal(signal.SIGALRM, _deadline)
    names: dict[str, Any] = {}
    exec(CODE, names)
    for index, (arguments, expected) in enumerate(zip(CALLS, EXPECTED, strict=True)):
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        passed[index] = names["add"](*arguments) == expected
        signal.setitimer(signal.ITIMER_REAL, 0)
    status.value = 1


def evalplus_shape() -> bool:
    """A forked process, outcome in shared memory."""
    status, passed = CONTEXT.Value("i", 0), CONTEXT.Array("b", [0] * len(CALLS))
    process = CONTEXT.Process(target=_shared_memory_child, args=(status, passed))
    process.start()
    process.join(timeout=6)
    return bool(status.value == 1 and all(passed))


def installed_evalplus() -> Callable[[], bool] | None:
    """The real checker of evalplus, if it can be imported."""
    try:
        from evalplus.eval import untrusted_check
    except ImportError:
        return None
    times = [0.01] * len(CALLS)
    return lambda: untrusted_check("humaneval", CODE, CALLS, "add", EXPECTED, 0, times)[0] == "pass"


def _manager_child(results: Any, sample: str) -> None:
    _guard()
    tests = json.loads(sample)
    signal.signal(signal.SIGALRM, _deadline)
    names: dict[str, Any] = {}
    exec(CODE, names)
    outcome = []
    for arguments, expected in zip(tests["inputs"], tests["outputs"], strict=True):
        signal.alarm(6)
        outcome.append(names["add"](*arguments) == expected)
        signal.alarm(0)
    results.append(outcome)


def livecodebench_shape() -> bool:
    """A manager process for the results and a forked process for the run."""
    with CONTEXT.Manager() as manager:
        results = manager.list()
        sample = json.dumps({"inputs": CALLS, "outputs": EXPECTED})
        process = CONTEXT.Process(target=_manager_child, args=(results, sample))
        process.start()
        process.join(timeout=31)
        return bool(len(results) and all(results[0]))


_SCRIPT = CODE + f"for a, e in zip({CALLS}, {EXPECTED}): assert add(*a) == e"


def fresh_interpreter() -> bool:
    """``python -I -S -c``, verdict by exit code."""
    return subprocess.run([sys.executable, "-I", "-S", "-c", _SCRIPT], timeout=6).returncode == 0


def cpu_seconds(servers: list[int]) -> float:
    """CPU time so far of this process, its ended children, and the fork servers with theirs."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    for server in servers:
        fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(name: str, once: Callable[[], bool], runs: int, slots: int, servers: list[int]) -> dict[str, Any]:
    """Time ``runs`` calls from ``slots`` threads; every one must say that the program is right."""

    def timed(_: int) -> float:
        start = time.perf_counter()
        if not once():
            raise RuntimeError(f"{name}: a right program was called wrong")
        return time.perf_counter() - start

    with ThreadPoolExecutor(slots) as threads:
        list(threads.map(timed, range(slots * 2)))
        cpu, start = cpu_seconds(servers), time.perf_counter()
        times = sorted(threads.map(timed, range(runs)))
        wall, cpu = time.perf_counter() - start, cpu_seconds(servers) - cpu
    return {
        "design": name,
        "runs": runs,
        "runs_per_s": round(runs / wall, 1),
        "p50_ms": round(1e3 * statistics.median(times), 1),
        "p95_ms": round(1e3 * times[int(0.95 * runs)], 1),
        "cpu_ms": round(1e3 * cpu / runs, 2),
    }


def main() -> None:
    """Run all designs and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--ballast-gb", type=float, default=0, help="memory that this process holds meanwhile")
    parser.add_argument("--preload", action="append", default=[], help="module that the fork servers import once")
    args = parser.parse_args()
    ballast = bytearray(b"x") * int(args.ballast_gb * (1 << 30))
    calls = parse_tests({"fn_name": "add", "inputs": CALLS, "outputs": EXPECTED})
    pairs = zip(CALLS, EXPECTED, strict=True)
    # A comparison with a variable keeps these tests source code, which needs a judge.
    asserts = parse_tests([f"expected = {e}\nassert add(*{a}) == expected" for a, e in pairs])
    lines = [f"{a} {b}\n" for a, b in CALLS]
    stdio = parse_tests({"inputs": lines, "outputs": [str(e) for e in EXPECTED]})
    rows = []
    memory = 1024 if args.preload else 512
    with ForkServer(SandboxSettings(slots=args.slots, preload=tuple(args.preload), memory_mb=memory)) as sandbox:
        servers = sandbox.processes
        for name, code, tests in (
            ("ours: calls", CODE, calls),
            ("ours: judge and solver", CODE, asserts),
            ("ours: stdio, 5 processes", STDIO_CODE, stdio),
        ):
            once = lambda code=code, tests=tests: sandbox.run(code, tests).status is Status.PASSED  # noqa: E731
            rows.append(measure(name, once, args.runs, args.slots, servers))
    real = installed_evalplus()
    peers = [*([("evalplus, installed", real)] if real else []), ("evalplus' shape", evalplus_shape)]
    peers += [("LiveCodeBench's shape", livecodebench_shape), ("fresh interpreter", fresh_interpreter)]
    for name, peer in peers:
        rows.append(measure(name, peer, max(20, args.runs // 2), args.slots, []))
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    ours, others = rows[0], rows[3:]
    best = max(others, key=lambda row: row["runs_per_s"])
    per_test = round(rows[2]["cpu_ms"] / len(CALLS), 2)
    cores = min(args.slots, len(os.sched_getaffinity(0)))
    summary = {
        "aims": {
            "calls: CPU at most 6 ms": ours["cpu_ms"] <= 6,
            "calls: at least 150 runs/s per core": ours["runs_per_s"] / cores >= 150,
            "judge and solver: CPU at most 10 ms": rows[1]["cpu_ms"] <= 10,
            "stdio: CPU at most 3 ms per test": per_test <= 3,
        },
        "best_unconfined_peer": best["design"],
        "times_the_best_unconfined_peer": round(ours["runs_per_s"] / best["runs_per_s"], 2),
        "times_as_many_runs_per_s": {r["design"]: round(ours["runs_per_s"] / r["runs_per_s"], 2) for r in others},
        "times_less_cpu": {r["design"]: round(r["cpu_ms"] / ours["cpu_ms"], 2) for r in others},
        "stdio_cpu_ms_per_test": per_test,
        "ballast_gb": len(ballast) / (1 << 30),
        "preload": args.preload,
        "layers": sandbox.layers,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
