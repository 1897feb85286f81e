"""Progress of a command: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from omnithinker.io.step_metrics import StepMetrics, TaskMetrics
from omnithinker.ui.judge_usage import usage_lines

PLAIN_EVERY_S = 10.0
"""Seconds between progress lines if the output is not a terminal."""


class View:
    """Progress of one command.

    Args:
        console: destination of the output.
        total_steps: training steps of all runs that have not started, for the remaining time.
    """

    def __init__(self, console: Console, total_steps: int = 0) -> None:
        self.console = console
        self.total_steps = total_steps
        self.run = ""
        self.message = ""
        self._steps_done = 0
        self._run_total = 0
        self._metrics: StepMetrics | None = None
        self._rewards: dict[str, tuple[float, float]] = {}
        self._clock = time.monotonic()
        self._busy_s = 0.0
        self._last_line = 0.0
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def print(self, line: str) -> None:
        """Print a line that stays, above the live view."""
        self.console.print(Text(line), soft_wrap=True)

    def note(self, text: str) -> None:
        """Show a message."""
        self.message = text
        if self._live:
            self._live.update(self._render())
        else:
            self.console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)

    def start_run(self, name: str, steps: int) -> None:
        """Show that a training run begins.

        Args:
            name: name of the run.
            steps: its training steps.
        """
        self.run, self._run_total, self._metrics, self.message = name, steps, None, ""
        self.total_steps -= steps
        self._rewards = {}
        self._clock = time.monotonic()
        if not self._live:
            self.console.print(f"{escape(name)}: {steps} steps", highlight=False, soft_wrap=True)

    def step(self, metrics: StepMetrics, total: int) -> None:
        """Show a finished training step.

        Args:
            metrics: metrics of the step.
            total: training steps of the run.
        """
        now = time.monotonic()
        self._busy_s, self._clock = self._busy_s + now - self._clock, now
        self._steps_done += 1
        self._metrics, self._run_total = metrics, total
        for task, reward in metrics.per_task("reward").items():
            first, _ = self._rewards.get(task, (reward, reward))
            self._rewards[task] = (first, reward)
        if self._live:
            self._live.update(self._render())
        elif now - self._last_line >= PLAIN_EVERY_S or metrics.step == total:
            self._last_line = now
            self.console.print(self._line(metrics, total), highlight=False, soft_wrap=True)

    def time_left(self) -> str:
        """Estimate the time until the last training step of the command."""
        if self._metrics is None:
            return "…"
        steps = self._run_total - self._metrics.step + max(self.total_steps, 0)
        seconds = self._busy_s / self._steps_done * steps
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s" if seconds >= 60 else f"{seconds:.0f} s"

    def _line(self, metrics: StepMetrics, total: int) -> str:
        rewards = "  ".join(f"{task} {value:.2f}" for task, value in metrics.per_task("reward").items())
        rate = f"{metrics.tokens_per_second:,.0f} tokens/s"
        return f"  step {metrics.step}/{total}  reward {rewards}  {rate}  time left {self.time_left()}"

    def _render(self) -> RenderableType:
        step = self._metrics.step if self._metrics else 0
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self.run, style="bold"),
            ProgressBar(total=max(self._run_total, 1), completed=step, width=30),
            f"step {step}/{self._run_total}",
            f"{self._metrics.tokens_per_second:,.0f} tokens/s" if self._metrics else "",
            f"time left {self.time_left()}",
        )
        body = Table(box=None, header_style="dim", pad_edge=False)
        for column in ("task", "reward", "since start", "accuracy", "entropy", "length", "undefined"):
            body.add_column(column, justify="left" if column == "task" else "right")
        if self._metrics:
            for task, (first, last) in sorted(self._rewards.items()):
                values = _task_values(self._metrics.tasks.get(task, TaskMetrics()))
                body.add_row(task, f"{last:.2f}", f"{last - first:+.2f}", *values)
        parts: list[RenderableType] = [head]
        if self._rewards:
            parts.append(body)
        if self._metrics and (usage := usage_lines(self._metrics.judges)):
            parts.append(Text("; ".join(usage), style="dim"))
        if self.message:
            parts.append(Text(self.message, style="dim"))
        return Group(*parts)


def _task_values(metrics: TaskMetrics) -> list[str]:
    """Cells of a task after its reward; a dash if a metric is undefined."""
    pairs = (("accuracy", ".2f"), ("entropy", ".2f"), ("length", ".0f"), ("undefined", ""))
    values = [(getattr(metrics, name), spec) for name, spec in pairs]
    return ["–" if value is None else format(value, spec) for value, spec in values]
