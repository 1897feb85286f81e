"""The plain view: what a log file or pipe gets."""

from __future__ import annotations

import io

from rich.console import Console

from omnithinker.io.step_metrics import JudgeMetrics, Seconds, StepMetrics, TaskMetrics
from omnithinker.ui.view import View

HALF = Seconds(generate=0.5, wait=0.0, train=0.5)


def metrics(step: int, tokens: int = 10, judges=None, **tasks: TaskMetrics) -> StepMetrics:
    return StepMetrics(step=step, tokens=tokens, seconds=HALF, tasks=tasks, judges=judges or {})


def test_plain_lines_name_step_rewards_rate_and_time_left():
    out = io.StringIO()
    with View(Console(file=out, width=200), total_steps=5) as view:
        view.start_run("single-task [math]", 2)
        view.note("left out 1 of 3")
        for step in (1, 2):
            view.step(metrics(step, 100, math=TaskMetrics(reward=0.25 * step)), 2)
    lines = out.getvalue().splitlines()
    assert lines[0] == "single-task [math]: 2 steps"
    assert lines[1] == "  left out 1 of 3"
    assert lines[-1].startswith("  step 2/2  reward math 0.50  100 tokens/s  time left ")


def test_live_view_shows_every_task():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with View(console, total_steps=2) as view:
        view.start_run("joint", 2)
        view.step(metrics(1, a=TaskMetrics(reward=0.1, entropy=1.5), b=TaskMetrics(reward=0.2)), 2)
        view.step(metrics(2, a=TaskMetrics(reward=0.4, entropy=1.25)), 2)
        rendered = Console(width=120, file=io.StringIO(), record=True)
        rendered.print(view._render())
    text = rendered.export_text()
    assert "+0.30" in text
    assert "1.25" in text
    assert "b " in text


def test_live_view_shows_what_judges_cost():
    with View(Console(file=io.StringIO(), force_terminal=True, width=120), total_steps=1) as view:
        view.start_run("joint", 1)
        judges = {
            "default": JudgeMetrics(calls=1200, cached=40, cost=0.3125, failures={"judge_down": 2, "judge_timeout": 1}),
            "other": JudgeMetrics(calls=7),
        }
        view.step(metrics(1, judges=judges), 1)
        rendered = Console(width=120, file=io.StringIO(), record=True)
        rendered.print(view._render())
    text = rendered.export_text()
    assert "judge default: 1,200 calls, 40 from the cache, 3 failed, cost 0.3125" in text
    assert "judge other: 7 calls, 0 from the cache" in text
