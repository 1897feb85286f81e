"""Sends the metrics of a run, and a few completions, to TensorBoard, W&B and trackio.

Both are read from the run folder, so a resumed run sends what a tracker lacks and nothing twice. The packages are
imported only if a recipe names them.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from omnithinker.errors import BadInput
from omnithinker.io.closing import Closing
from omnithinker.io.files import make_folder, read_json, read_json_lines, write_json
from omnithinker.io.layout import EVALUATIONS, METRICS, ROLLOUTS, TRACKERS, VALIDATIONS, step_file
from omnithinker.io.results import checked
from omnithinker.io.samples import COLUMNS, Sample, SampleReader, markdown, table_rows
from omnithinker.io.sft_metrics import SftMetrics
from omnithinker.io.step_metrics import StepMetrics

PROJECT = "omnithinker"
"""Project at W&B and trackio, unless ``WANDB_PROJECT`` or ``TRACKIO_PROJECT`` is set."""
COMPLETIONS = "completions"
"""Name of the completions of a step at trackers."""


class Tracker(Protocol):
    """Destination of the metrics of one run."""

    last: int
    """Last step that it holds; it receives later steps only."""

    def log(self, step: int, values: Mapping[str, float], samples: Sequence[Sample] = ()) -> None:
        """Log metrics of one step by name, and completions if there are some.

        Steps come in order; the last one may come twice, with other names.
        """
        ...

    def close(self) -> None:
        """Deliver all pending metrics and release resources."""
        ...


class Trackers(Closing):
    """All trackers of a run. A tracker that fails is dropped, and the user is notified.

    Args:
        names: trackers to open.
        settings: settings of the run, shown with it.
        folder: the run folder.
        notify: shows a message to the user.
        completions: most completions per task and step to send, of those in ``rollouts.jsonl``.

    Raises:
        BadInput: if a tracker is not installed or cannot be opened.
    """

    def __init__(
        self,
        names: Sequence[str],
        settings: Mapping[str, Any],
        folder: Path,
        notify: Callable[[str], None],
        *,
        completions: int = 0,
    ) -> None:
        require(names)
        self._folder, self._notify = folder, notify
        self._samples = SampleReader(folder / ROLLOUTS, completions)
        self._caught_up = False
        self._open: dict[str, Tracker] = {}
        for name in names:
            try:
                self._open[name] = TRACKER_TYPES[name](folder, settings)
            except Exception as error:
                self.close()
                raise BadInput(
                    f"trackers: {name} cannot be opened: {error}; fix that, or remove {name} from 'trackers'"
                ) from error

    def step(self, metrics: StepMetrics | SftMetrics) -> None:
        """Send the metrics and evaluations of a logged step; the first call also sends all earlier steps."""
        if not self._open:
            return
        if not self._caught_up:
            self._catch_up()
        else:
            self._send(metrics.to_record())

    def result(self, step: int, values: Mapping[str, Any]) -> None:
        """Send the final evaluation under ``result/``.

        Args:
            step: steps of the run.
            values: evaluation per task.
        """
        if not self._open:
            return
        if not self._caught_up:
            self._catch_up()
        for name in list(self._open):
            self._try(name, lambda tracker: tracker.log(step, numbers(values, "result")))

    def close(self) -> None:
        """Close every tracker."""
        for name in list(self._open):
            self._try(name, lambda tracker: tracker.close())
        self._open.clear()

    def _catch_up(self) -> None:
        """Send every step of the log."""
        self._caught_up = True
        for record in read_json_lines(self._folder / METRICS):
            self._send(record)

    def _send(self, record: Mapping[str, Any]) -> None:
        step = int(record["step"])
        values = numbers({name: value for name, value in record.items() if name != "step"})
        values |= evaluations(self._folder, step)
        samples = self._samples.of(step)

        def send(tracker: Tracker) -> None:
            if step > tracker.last:
                tracker.log(step, values, samples)
                tracker.last = step

        for name in list(self._open):
            self._try(name, send)

    def _try(self, name: str, call: Callable[[Tracker], None]) -> None:
        """Call a tracker. A failure drops the tracker; it does not stop the run."""
        try:
            call(self._open[name])
        except Exception as error:
            del self._open[name]
            self._notify(f"tracker {name} failed and gets no further metrics ({METRICS} has all of them): {error}")


def require(names: Sequence[str]) -> None:
    """Check that the packages of trackers are installed.

    Raises:
        BadInput: if some are not; names the command that installs them.
    """
    if problem := missing(names):
        raise BadInput(problem)


def missing(names: Sequence[str]) -> str | None:
    """Return a message that names the missing packages of trackers and how to install them; None if there are none."""
    absent = [name for name in names if find_spec(name) is None]
    if not absent:
        return None
    names_and_verb = f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'}"
    return f"trackers: {names_and_verb} not installed; run: pip install 'omnithinker[{','.join(absent)}]'"


def numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return every number in nested mappings by its path, such as ``math/components/tags``; others are left out."""
    flat: dict[str, float] = {}
    for key, value in values.items():
        name = f"{prefix}/{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            flat |= numbers(value, name)
        elif isinstance(value, int | float):
            flat[name] = float(value)
    return flat


def evaluations(folder: Path, step: int) -> dict[str, float]:
    """Return the numbers of the evaluation and validation after a step, as ``eval/<task>/...``, ``validation/...``."""
    flat: dict[str, float] = {}
    for kind in (EVALUATIONS, VALIDATIONS):
        file = step_file(folder / kind, step)
        if file.exists():
            flat |= numbers(read_json(file)["tasks"], kind)
    return flat


class _TensorBoard:
    """Event files in the run folder, rewritten at every start, so that no step is missing or duplicated."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.last = 0
        events = make_folder(folder / TRACKERS / "tensorboard")
        for file in events.glob("events.out.tfevents.*"):
            file.unlink()
        # purge_step makes a running TensorBoard discard what it has read before.
        self._writer = SummaryWriter(str(events), purge_step=0)

    def log(self, step: int, values: Mapping[str, float], samples: Sequence[Sample] = ()) -> None:
        """Write at once, so that nothing is lost if the process is killed."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        for task, text in markdown(samples).items():
            self._writer.add_text(f"{COMPLETIONS}/{task}", text, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True, slots=True)
class _Saved:
    """Content of the file of a remote tracker."""

    id: str = ""
    step: int = 0


class _Remote:
    """Identity of a run at a remote tracker and the last step sent, kept in the run folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self._file = make_folder(folder / TRACKERS) / f"{name}.json"
        saved = (
            checked(_Saved, read_json(self._file), str(self._file), "remove it") if self._file.exists() else _Saved()
        )
        self.id: str = saved.id or uuid.uuid4().hex[:12]
        self.step: int = saved.step
        self.sent(self.step)

    def sent(self, step: int) -> None:
        """Record that a step was sent."""
        self.step = step
        write_json(self._file, {"id": self.id, "step": step})


class _WandB:
    """W&B run, resumed at every start of the run; ``WANDB_MODE=offline`` keeps it on this machine."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._package = wandb = import_module("wandb")
        self._remote = _Remote("wandb", folder)
        self.last = self._remote.step
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=self._remote.id,
            resume="allow",
            name=run_name(folder),
            group=folder.resolve().parent.name,
            config=dict(settings),
            dir=str(make_folder(folder / TRACKERS)),
            # No console output and no command line: they may contain secrets.
            settings=wandb.Settings(console="off", silent=True, x_disable_meta=True, disable_git=True),
        )

    def log(self, step: int, values: Mapping[str, float], samples: Sequence[Sample] = ()) -> None:
        self._run.log({**values, **_table(self._package, step, samples)}, step=step)
        self._remote.sent(step)

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    """trackio run, resumed at every start of the run."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._package = trackio = import_module("trackio")
        self._remote = _Remote("trackio", folder)
        self.last = self._remote.step
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{run_name(folder)}-{self._remote.id}",
            group=folder.resolve().parent.name,
            resume="allow",
            config=dict(settings),
            embed=False,
        )

    def log(self, step: int, values: Mapping[str, float], samples: Sequence[Sample] = ()) -> None:
        self._run.log({**values, **_table(self._package, step, samples)}, step=step)
        self._remote.sent(step)

    def close(self) -> None:
        self._run.finish()


def _table(package: Any, step: int, samples: Sequence[Sample]) -> dict[str, Any]:
    """Return samples as a table of a package, by its name; empty without samples."""
    if not samples:
        return {}
    return {COMPLETIONS: package.Table(columns=list(COLUMNS), data=table_rows(step, samples))}


def run_name(folder: Path) -> str:
    """Return the name of a run at a tracker: the names of its folder and the parent folder."""
    path = folder.resolve()
    return f"{path.parent.name}-{path.name}"


TRACKER_TYPES: dict[str, Callable[[Path, Mapping[str, Any]], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WandB,
    "trackio": _Trackio,
}
"""Constructors by name; arguments are the run folder and the settings of the run."""
