"""Judge usage in words, for progress displays and the ends of commands."""

from __future__ import annotations

from collections.abc import Mapping

from omnithinker.io.step_metrics import JudgeMetrics


def usage_sentence(usage: JudgeMetrics) -> str:
    """Describe a judge's usage: ``12 calls, 3 from the cache, 4,100 tokens, cost 0.02; failed: judge_down 2``."""
    words = [f"{usage.calls:,} calls"]
    if usage.cached:
        words.append(f"{usage.cached:,} from the cache")
    words.append(f"{usage.prompt_tokens + usage.completion_tokens:,} tokens")
    if usage.cost:
        words.append(f"cost {usage.cost:.4g}")
    failed = ", ".join(f"{cause} {count}" for cause, count in sorted(usage.failures.items()))
    return ", ".join(words) + (f"; failed: {failed}" if failed else "")


def usage_lines(judges: Mapping[str, JudgeMetrics]) -> list[str]:
    """Return one line per judge that was used, such as ``judge default: 1,200 calls, 40 from the cache``.

    Failures and cost follow where there are any.
    """
    lines = []
    for name, usage in judges.items():
        failed = sum(usage.failures.values())
        if not (usage.calls or usage.cached or failed):
            continue
        words = [f"judge {name}: {usage.calls:,} calls", f"{usage.cached:,} from the cache"]
        words += [f"{failed:,} failed"] if failed else []
        words += [f"cost {usage.cost:.4g}"] if usage.cost else []
        lines.append(", ".join(words))
    return lines
