"""Throughput of the math reward and the chat judge.

    python benchmarks/rewards.py [quick] [mixed] [bombs] [judge]

quick   normalise and compare pairs that need no computer algebra, on one core
mixed   answers as models write them, two verifier processes, empty cache
bombs   2,000 answers, 50 of which keep computer algebra busy until their deadline
judge   1,000 judgments with 200 ms latency, 64 in flight (ideal: 3.2 s)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.judge.chat import ChatJudge
from omnithinker.rewards.math_answer import MathAnswer, quick_verdict
from omnithinker.rewards.math_pool import Equality, MathPool
from omnithinker.rewards.math_text import normalize
from omnithinker.types import Prompt, Trajectory, Undefined

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CASES = [json.loads(line) for line in (ROOT / "tests/golden/math_cases.jsonl").read_text("utf-8").splitlines()]
ENDLESS = r"\prod_{n=1}^{9999}(n^n+%d)"


def quick() -> None:
    pairs = [(case["gold"], case["answer"]) for case in CASES if case["kind"] in ("integers", "decimals", "fractions")]
    pairs = [pair for pair in pairs if isinstance(quick_verdict(*map(normalize, pair)), Equality)]
    rounds = 200
    started = time.process_time()
    for _ in range(rounds):
        for gold, answer in pairs:
            quick_verdict(gold, normalize(answer))
    seconds = time.process_time() - started
    print(f"quick: {rounds * len(pairs) / seconds:,.0f} pairs/s of CPU time (normalising included)")


def mixed_load(groups: int, seed: int) -> list[tuple[str, list[str]]]:
    """Return groups (gold, 8 answers): three quarters plain numbers, the rest formulas in varying notation."""
    rng = random.Random(seed)
    formulas = [
        (r"\frac{%d\sqrt{%d}}{%d}", r"\frac{%d}{%d}\sqrt{%d}"),
        (r"%dx^2+%dx-%d", r"%dx^2 + x\cdot %d - %d"),
        (r"(%d, %d, %d)", r"\left(%d,%d,%d\right)"),
        (r"%d\pi+\frac{%d}{%d}", r"\frac{%d}{%d}+%d\pi"),
    ]
    load = []
    for _ in range(groups):
        numbers = [rng.randrange(2, 99) for _ in range(3)]
        if rng.random() < 0.25:
            template, variant = rng.choice(formulas)
            wrong = [[number + rng.randrange(3) for number in numbers] for _ in range(6)]
            gold = template % tuple(numbers)
            answers = [gold, *(rng.choice((template, variant)) % tuple(w) for w in wrong), "no idea"]
            load.append((gold, answers))
        else:
            gold = str(numbers[0] * numbers[1])
            load.append((gold, [gold, f"${gold}$", f"{gold}.0", *(str(rng.randrange(9999)) for _ in range(4)), "x=3"]))
    return load


def score(load: list[tuple[str, list[str]]], pool: MathPool) -> tuple[float, list[object]]:
    """Score groups with 16 threads, as in training. Return seconds and values."""
    from concurrent.futures import ThreadPoolExecutor

    reward = MathAnswer(pool)

    def score_one(group: tuple[str, list[str]]) -> list[object]:
        prompt = Prompt(task="math", index=0, text="", row={"answer": group[0]})
        return list(reward.score_group(prompt, [Trajectory(text=f"<answer>{text}</answer>") for text in group[1]]))

    started = time.perf_counter()
    with ThreadPoolExecutor(16) as threads:
        values = [value for values in threads.map(score_one, load) for value in values]
    return time.perf_counter() - started, values


def warm_up(pool: MathPool) -> None:
    """Start both processes before timing begins."""
    for future in [pool.submit("x+1", f"x+{number}") for number in range(8)]:
        future.result()


def cpu_seconds() -> float:
    """Return the CPU time of this process and its finished children, seconds."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def mixed() -> None:
    load = mixed_load(1000, 0)
    before = cpu_seconds()
    with MathPool(2) as pool:
        warm_up(pool)
    started = cpu_seconds()
    with MathPool(2) as pool:
        warm_up(pool)
        seconds, values = score(load, pool)
    start_up, used = started - before, cpu_seconds() - started
    per_answer = (used - start_up) / len(values)
    print(
        f"mixed: {len(values) / seconds:,.0f} answers/s on 2 processes ({len(values)} answers in {seconds:.1f} s); CPU "
        f"time {1000 * per_answer:.2f} ms per answer, so {2 / per_answer:,.0f}/s on 2 free cores; start-up of 2 "
        f"processes {start_up:.1f} s of CPU time, once"
    )


def bombs() -> None:
    baseline = mixed_load(250, 1)
    load = [(gold, list(answers)) for gold, answers in baseline]
    for number in range(50):
        load[number * 5][1][-1] = ENDLESS % number
    with MathPool(2, cpu_seconds=1.0) as pool:
        warm_up(pool)
        plain_seconds, expected = score(baseline, pool)
    started = cpu_seconds()
    with MathPool(2, cpu_seconds=1.0) as pool:
        warm_up(pool)
        seconds, values = score(load, pool)
    used = cpu_seconds() - started
    # A bomb whose gold answer is a tuple differs in kind and is decided without computation.
    bombs = [values[number * 40 + 7] for number in range(50)]
    undefined = sum(isinstance(value, Undefined) for value in bombs)
    unaffected = sum(
        value == other for index, (value, other) in enumerate(zip(values, expected, strict=True)) if index % 40 != 7
    )
    print(
        f"bombs: {len(values)} answers in {seconds:.1f} s ({plain_seconds:.1f} s without bombs), CPU time {used:.1f} "
        f"s; {undefined} of 50 bombs undefined at their deadline of 1 s, {50 - undefined} decided without computation; "
        f"{unaffected} of {len(values) - 50} other answers unaffected"
    )


def judge() -> None:
    async def compare_all(judge: ChatJudge, count: int) -> None:
        calls = (judge.compare(request="r", answer_a=f"{i}", answer_b="b", row={}) for i in range(count))
        await asyncio.gather(*calls)

    async def measure(judge: ChatJudge) -> tuple[float, float]:
        await compare_all(judge, 64)  # opens connections and imports modules
        started, used = time.perf_counter(), time.process_time()
        await compare_all(judge, 1000)
        return time.perf_counter() - started, time.process_time() - used

    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip() if server.stdout else ""
        settings = ChatJudgeSettings(model="m", base_url=url, concurrency=64)
        seconds, used = asyncio.run(measure(ChatJudge(settings)))
    finally:
        server.kill()
        server.wait()
    print(f"judge: 1,000 judgments in {seconds:.2f} s, {seconds / 3.2:.2f} x the ideal 3.2 s; CPU time {used:.2f} s")


def serve() -> None:
    """Run the endpoint, in its own process so that it does not share the judge's interpreter."""
    from tests.builders.fake_endpoint import FakeEndpoint, Reply

    with FakeEndpoint() as endpoint:
        endpoint.answer = lambda body: Reply(delay_s=0.2)
        print(endpoint.url, flush=True)
        threading.Event().wait()


def main() -> None:
    parts = {"quick": quick, "mixed": mixed, "bombs": bombs, "judge": judge}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"parts to measure: {', '.join(parts)} (default: all)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(parts)}")
    if arguments.serve:
        serve()
    for name in arguments.parts or parts:
        parts[name]()


if __name__ == "__main__":
    main()
