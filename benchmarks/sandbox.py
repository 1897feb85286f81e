"""Throughput of the sandbox and of the designs of public checkers, in one run on one machine.

    python benchmarks/sandbox.py [--runs 400] [--slots 2] [--ballast-gb 3] [--preload numpy]

The other designs are re-implemented from their published structure, without their code; evalplus itself is measured too
if it is installed. They are evalplus (a forked process per run, shared memory for the outcome, dangerous functions
removed), LiveCodeBench (a manager process and a forked process per run; verl's prime_code has the same design), and a
fresh interpreter per run. None of them confines the program. CPU time is that of this process and all its children,
fork servers included. The last line has the targets, and the throughput relative to the other designs, as JSON.
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
    """Limit memory and remove dangerous functions, like the reliability guards of these checkers."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    for name in ("kill", "system", "remove", "rename", "fork", "rmdir", "chmod", "chown", "unlink"):
        setattr(os, name, None)
    subprocess.Popen = None  # type: ignore[assignment, misc]


def _raise_timeout(*_: object) -> None:
    raise TimeoutError


def _shared_memory_child(status: Any, passed: Any) -> None:
    _guard()
    signal.signal(signal.SIGALRM, _raise_timeout)
    names: dict[str, Any] = {}
    exec(CODE, names)
    for index, (arguments, expected) in enumerate(zip(CALLS, EXPECTED, strict=True)):
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        passed[index] = names["add"](*arguments) == expected
        signal.setitimer(signal.ITIMER_REAL, 0)
    status.value = 1


def evalplus_design() -> bool:
    """Run a forked process with the outcome in shared memory."""
    status, passed = CONTEXT.Value("i", 0), CONTEXT.Array("b", [0] * len(CALLS))
    process = CONTEXT.Process(target=_shared_memory_child, args=(status, passed))
    process.start()
    process.join(timeout=6)
    return bool(status.value == 1 and all(passed))


def installed_evalplus() -> Callable[[], bool] | None:
    """Return the checker of evalplus, or None if it is not installed."""
    try:
        from evalplus.eval import untrusted_check
    except ImportError:
        return None
    times = [0.01] * len(CALLS)
    return lambda: untrusted_check("humaneval", CODE, CALLS, "add", EXPECTED, 0, times)[0] == "pass"


def _manager_child(results: Any, sample: str) -> None:
    _guard()
    tests = json.loads(sample)
    signal.signal(signal.SIGALRM, _raise_timeout)
    names: dict[str, Any] = {}
    exec(CODE, names)
    outcome = []
    for arguments, expected in zip(tests["inputs"], tests["outputs"], strict=True):
        signal.alarm(6)
        outcome.append(names["add"](*arguments) == expected)
        signal.alarm(0)
    results.append(outcome)


def livecodebench_design() -> bool:
    """Run a manager process for the results and a forked process for the program."""
    with CONTEXT.Manager() as manager:
        results = manager.list()
        sample = json.dumps({"inputs": CALLS, "outputs": EXPECTED})
        process = CONTEXT.Process(target=_manager_child, args=(results, sample))
        process.start()
        process.join(timeout=31)
        return bool(len(results) and all(results[0]))


_SCRIPT = CODE + f"for a, e in zip({CALLS}, {EXPECTED}): assert add(*a) == e"


def fresh_interpreter() -> bool:
    """Run ``python -I -S -c`` and take the verdict from the exit code."""
    return subprocess.run([sys.executable, "-I", "-S", "-c", _SCRIPT], timeout=6).returncode == 0


def cpu_seconds(servers: list[int]) -> float:
    """Return the CPU time of this process and its finished children, and of fork servers and theirs, seconds."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    for server in servers:
        fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(name: str, check: Callable[[], bool], runs: int, slots: int, servers: list[int]) -> dict[str, Any]:
    """Time ``runs`` checks of a correct program from ``slots`` threads.

    Raises:
        RuntimeError: if a check fails.
    """

    def timed(_: int) -> float:
        start = time.perf_counter()
        if not check():
            raise RuntimeError(f"{name}: a correct program failed")
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400, help="runs per design of the sandbox; half for others")
    parser.add_argument("--slots", type=int, default=2, help="concurrent runs")
    parser.add_argument(
        "--ballast-gb", type=float, default=0, help="memory that this process holds during the runs, GiB"
    )
    parser.add_argument(
        "--preload", action="append", default=[], help="module that the fork servers import once; repeatable"
    )
    args = parser.parse_args()
    ballast = bytearray(b"x") * int(args.ballast_gb * (1 << 30))
    calls = parse_tests({"fn_name": "add", "inputs": CALLS, "outputs": EXPECTED})
    pairs = zip(CALLS, EXPECTED, strict=True)
    # The comparison with a variable keeps these tests source code, which runs in the judge.
    asserts = parse_tests([f"expected = {e}\nassert add(*{a}) == expected" for a, e in pairs])
    lines = [f"{a} {b}\n" for a, b in CALLS]
    stdio = parse_tests({"inputs": lines, "outputs": [str(e) for e in EXPECTED]})
    rows = []
    memory = 1024 if args.preload else 512
    with ForkServer(SandboxSettings(slots=args.slots, preload=tuple(args.preload), memory_mb=memory)) as sandbox:
        with ThreadPoolExecutor(args.slots) as threads:  # starts every slot's fork server of judges
            list(threads.map(lambda _: sandbox.run(CODE, asserts), range(20 * args.slots)))
        servers, layers = sandbox.processes, sandbox.layers
        for name, code, tests in (
            ("omnithinker: calls", CODE, calls),
            ("omnithinker: judge and solver", CODE, asserts),
            ("omnithinker: stdio, 5 processes", STDIO_CODE, stdio),
        ):
            check = lambda code=code, tests=tests: sandbox.run(code, tests).status is Status.PASSED  # noqa: E731
            rows.append(measure(name, check, args.runs, args.slots, servers))
    evalplus = installed_evalplus()
    others = [*([("evalplus, installed", evalplus)] if evalplus else []), ("evalplus' design", evalplus_design)]
    others += [("LiveCodeBench's design", livecodebench_design), ("fresh interpreter", fresh_interpreter)]
    for name, check in others:
        rows.append(measure(name, check, max(20, args.runs // 2), args.slots, []))
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    setup = {"ballast_gb": len(ballast) / (1 << 30), "preload": args.preload, "layers": layers}
    print(json.dumps(summary(rows, args.slots) | setup))


def summary(rows: list[dict[str, Any]], slots: int) -> dict[str, Any]:
    """Compare the sandbox, the first three rows, with the targets and the other designs."""
    calls, pair, stdio, *others = rows
    best = max(others, key=lambda row: row["runs_per_s"])
    per_test = round(stdio["cpu_ms"] / len(CALLS), 2)
    cores = min(slots, len(os.sched_getaffinity(0)))
    return {
        "targets": {
            "calls: CPU at most 6 ms": calls["cpu_ms"] <= 6,
            "calls: at least 150 runs/s per core": calls["runs_per_s"] / cores >= 150,
            "judge and solver: CPU at most 10 ms": pair["cpu_ms"] <= 10,
            "stdio: CPU at most 3 ms per test": per_test <= 3,
        },
        "best_other_design": best["design"],
        "times_the_runs_per_s_of_the_best": round(calls["runs_per_s"] / best["runs_per_s"], 2),
        "times_the_runs_per_s_of": {row["design"]: round(calls["runs_per_s"] / row["runs_per_s"], 2) for row in others},
        "times_less_cpu_than": {row["design"]: round(row["cpu_ms"] / calls["cpu_ms"], 2) for row in others},
        "stdio_cpu_ms_per_test": per_test,
    }


if __name__ == "__main__":
    main()
