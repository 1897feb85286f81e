"""Judge usage in words."""

from __future__ import annotations

from omnithinker.io.step_metrics import JudgeMetrics
from omnithinker.ui.judge_usage import usage_lines, usage_sentence


def test_only_judges_that_were_used_get_a_line():
    judges = {
        "busy": JudgeMetrics(calls=1200, cost=0.3125),
        "cached": JudgeMetrics(cached=5),
        "down": JudgeMetrics(failures={"judge_down": 2, "judge_timeout": 1}),
        "idle": JudgeMetrics(),
    }
    assert usage_lines(judges) == [
        "judge busy: 1,200 calls, 0 from the cache, cost 0.3125",
        "judge cached: 0 calls, 5 from the cache",
        "judge down: 0 calls, 0 from the cache, 3 failed",
    ]


def test_sentence():
    numbers = {"calls": 1200, "cached": 3, "prompt_tokens": 4000, "completion_tokens": 100, "cost": 0.5}
    assert usage_sentence(JudgeMetrics(**numbers)) == "1,200 calls, 3 from the cache, 4,100 tokens, cost 0.5"
    failed = JudgeMetrics(**numbers, failures={"judge_down": 2})
    assert usage_sentence(failed).endswith("cost 0.5; failed: judge_down 2")
    assert usage_sentence(JudgeMetrics()) == "0 calls, 0 tokens"
