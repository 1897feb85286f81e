"""Progress of a command: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from omnithinker.io.sft_metrics import SftMetrics
from omnithinker.io.step_metrics import StepMetrics
from omnithinker.ui.judge_usage import usage_lines

PLAIN_EVERY_S = 10.0
"""Seconds between progress lines if the output is not a terminal."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Metrics of a task in the live view."""

    main: str
    """Metric that is shown with its change since the start."""
    others: tuple[tuple[str, str, str], ...]
    """Metric, header and format of the other columns."""


COLUMNS = {
    StepMetrics: Columns(
        "reward",
        (
            ("accuracy", "accuracy", ".2f"),
            ("entropy", "entropy", ".2f"),
            ("length", "length", ".0f"),
            ("undefined", "undefined", ""),
        ),
    ),
    SftMetrics: Columns("loss", (("val_loss", "validation loss", ".3f"), ("examples", "examples", ""))),
}
"""Columns by kind of metrics."""


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
        self._alone = False
        self._metrics: StepMetrics | SftMetrics | None = None
        self._first: dict[str, float] = {}
        self._latest: dict[str, dict[str, float]] = {}
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

    def start_run(self, name: str, steps: int, *, alone: bool = False) -> None:
        """Show that a training run begins.

        Args:
            name: name of the run.
            steps: its training steps.
            alone: True if its steps are no measure of other runs' steps, and not among ``total_steps``; the remaining
                time is that of this run then.
        """
        self.run, self._run_total, self._metrics, self.message = name, steps, None, ""
        self.total_steps -= 0 if alone else steps
        if alone or self._alone:
            self._steps_done, self._busy_s = 0, 0.0
        self._alone = alone
        self._first, self._latest = {}, {}
        self._clock = time.monotonic()
        if not self._live:
            self.console.print(f"{escape(name)}: {steps} steps", highlight=False, soft_wrap=True)

    def step(self, metrics: StepMetrics | SftMetrics, total: int) -> None:
        """Show a finished training step.

        Args:
            metrics: metrics of the step.
            total: training steps of the run.
        """
        now = time.monotonic()
        self._busy_s, self._clock = self._busy_s + now - self._clock, now
        self._steps_done += 1
        self._metrics, self._run_total = metrics, total
        columns = COLUMNS[type(metrics)]
        for name in (columns.main, *(name for name, _, _ in columns.others)):
            for task, value in metrics.per_task(name).items():
                self._latest.setdefault(task, {})[name] = value
        for task, value in metrics.per_task(columns.main).items():
            self._first.setdefault(task, value)
        if self._live:
            self._live.update(self._render())
        elif now - self._last_line >= PLAIN_EVERY_S or metrics.step == total:
            self._last_line = now
            self.console.print(self._line(metrics, total), highlight=False, soft_wrap=True)

    def time_left(self) -> str:
        """Estimate the time until the last training step of the command."""
        if self._metrics is None:
            return "…"
        steps = self._run_total - self._metrics.step + (0 if self._alone else max(self.total_steps, 0))
        seconds = self._busy_s / self._steps_done * steps
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s" if seconds >= 60 else f"{seconds:.0f} s"

    def _line(self, metrics: StepMetrics | SftMetrics, total: int) -> str:
        main = COLUMNS[type(metrics)].main
        values = "  ".join(f"{task} {value:.2f}" for task, value in metrics.per_task(main).items())
        rate = f"{metrics.tokens_per_second:,.0f} tokens/s"
        return f"  step {metrics.step}/{total}  {main} {values}  {rate}  time left {self.time_left()}"

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
        parts: list[RenderableType] = [head]
        if self._metrics and self._first:
            parts.append(self._task_table(COLUMNS[type(self._metrics)]))
        if isinstance(self._metrics, StepMetrics) and (usage := usage_lines(self._metrics.judges)):
            parts.append(Text("; ".join(usage), style="dim"))
        if self.message:
            parts.append(Text(self.message, style="dim"))
        return Group(*parts)

    def _task_table(self, columns: Columns) -> Table:
        """Table of the latest metrics per task; a dash where one is undefined."""
        table = Table(box=None, header_style="dim", pad_edge=False)
        for header in ("task", columns.main, "since start", *(header for _, header, _ in columns.others)):
            table.add_column(header, justify="left" if header == "task" else "right")
        for task, first in sorted(self._first.items()):
            latest = self._latest[task]
            others = [format(latest[name], spec) if name in latest else "–" for name, _, spec in columns.others]
            main = latest[columns.main]
            table.add_row(task, f"{main:.2f}", f"{main - first:+.2f}", *others)
        return table
