"""The plain view: what a log file or pipe gets."""

from __future__ import annotations

import io

from rich.console import Console

from omnithinker.train.metrics import Seconds, StepMetrics
from omnithinker.ui.view import View

HALF = Seconds(generate=0.5, wait=0.0, train=0.5)


def test_plain_lines_name_step_rewards_rate_and_time_left():
    out = io.StringIO()
    with View(Console(file=out, width=200), total_steps=5) as view:
        view.start_run("single-task [math]", 2)
        view.note("left out 1 of 3")
        for step in (1, 2):
            view.step(StepMetrics(step, 100, HALF, {"task/math/reward": 0.25 * step}), 2)
    lines = out.getvalue().splitlines()
    assert lines[0] == "single-task [math]: 2 steps"
    assert lines[1] == "  left out 1 of 3"
    assert lines[-1].startswith("  step 2/2  reward math 0.50  100 tokens/s  left ")


def test_live_view_shows_every_task():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with View(console, total_steps=2) as view:
        view.start_run("joint", 2)
        view.step(StepMetrics(1, 10, HALF, {"task/a/reward": 0.1, "task/a/entropy": 1.5, "task/b/reward": 0.2}), 2)
        view.step(StepMetrics(2, 10, HALF, {"task/a/reward": 0.4, "task/a/entropy": 1.25}), 2)
        rendered = Console(width=120, file=io.StringIO(), record=True)
        rendered.print(view._render())
    text = rendered.export_text()
    assert "+0.30" in text
    assert "1.25" in text
    assert "b " in text


def test_live_view_shows_what_judges_cost():
    with View(Console(file=io.StringIO(), force_terminal=True, width=120), total_steps=1) as view:
        view.start_run("joint", 1)
        values = {
            "judge/default/calls": 1200,
            "judge/default/cached": 40,
            "judge/default/cost": 0.3125,
            "judge/default/failures/judge_down": 2,
            "judge/default/failures/judge_timeout": 1,
            "judge/other/calls": 7,
        }
        view.step(StepMetrics(1, 10, HALF, values), 1)
        rendered = Console(width=120, file=io.StringIO(), record=True)
        rendered.print(view._render())
    text = rendered.export_text()
    assert "judge default: 1,200 calls, 40 from the cache, 3 failed, cost 0.3125" in text
    assert "judge other: 7 calls, 0 from the cache" in text
