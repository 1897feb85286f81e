"""Sends the numbers of a run to TensorBoard, W&B and trackio, beside metrics.jsonl, which is always written.

What a tracker shows is read from the run folder, so that a run which goes on tells a tracker what it has missed and
nothing twice. Packages are imported when a recipe names them.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from omnithinker.config.recipe import Recipe
from omnithinker.errors import BadInput
from omnithinker.io.files import make_folder, read_json, read_json_lines, write_json
from omnithinker.io.step_metrics import StepMetrics

PROJECT = "omnithinker"
"""Project at W&B and trackio, unless ``WANDB_PROJECT`` or ``TRACKIO_PROJECT`` names another."""
FOLDER = "trackers"
"""In the run folder: what trackers write, and which of their runs this is."""


class Tracker(Protocol):
    """Shows numbers of one run."""

    last: int
    """The last step that it has; it is told later ones only."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step by name; steps come in order, and the last one may come twice with other names."""
        ...

    def close(self) -> None:
        """All numbers are where they belong when this returns."""
        ...


class Trackers:
    """All trackers of a run. One that fails is left out from then on, and the user is told.

    Args:
        recipe: names the trackers, and is sent along without addresses.
        folder: the run folder.
        note: tells the user.

    Raises:
        BadInput: a tracker is not installed or cannot be opened.
    """

    def __init__(self, recipe: Recipe, folder: Path, note: Callable[[str], None]) -> None:
        require(recipe.trackers)
        self._folder, self._note = folder, note
        self._caught_up = False
        self._open: dict[str, Tracker] = {}
        for name in recipe.trackers:
            try:
                self._open[name] = TRACKERS[name](folder, configuration(recipe))
            except Exception as error:
                self.close()
                raise BadInput(f"trackers: {name} cannot be opened: {error}; or take it out of 'trackers'") from error

    def step(self, metrics: StepMetrics) -> None:
        """Send the metrics and evaluations of a logged step; the first call also sends all earlier steps."""
        if not self._open:
            return
        if not self._caught_up:
            self._catch_up()
        else:
            self._send(metrics.to_record())

    def result(self, step: int, values: Mapping[str, Any]) -> None:
        """Send the final evaluation, after ``step`` steps, under ``result/``."""
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
        self._caught_up = True
        for record in read_json_lines(self._folder / "metrics.jsonl"):
            self._send(record)

    def _send(self, record: Mapping[str, Any]) -> None:
        step = int(record["step"])
        values = numbers({name: value for name, value in record.items() if name != "step"})
        values |= measured(self._folder, step)

        def send(tracker: Tracker) -> None:
            if step > tracker.last:
                tracker.log(step, values)
                tracker.last = step

        for name in list(self._open):
            self._try(name, send)

    def _try(self, name: str, call: Callable[[Tracker], None]) -> None:
        """Training that is paid for does not stop because its numbers cannot be shown."""
        try:
            call(self._open[name])
        except Exception as error:
            del self._open[name]
            self._note(f"tracker {name} failed and is left out from here on (metrics.jsonl has all numbers): {error}")


def require(names: tuple[str, ...]) -> None:
    """Make sure that the packages of trackers are there.

    Raises:
        BadInput: some are not installed; says how to install them.
    """
    if problem := missing(names):
        raise BadInput(problem)


def missing(names: tuple[str, ...]) -> str | None:
    """Which packages of trackers are not installed, and the command that installs them; None if all are there."""
    absent = [name for name in names if find_spec(name) is None]
    if not absent:
        return None
    names_and_verb = f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'}"
    return f"trackers: {names_and_verb} not installed; run: pip install 'omnithinker[{','.join(absent)}]'"


def configuration(recipe: Recipe) -> dict[str, Any]:
    """The recipe as it is sent: without addresses and commands, in which people write passwords."""
    found = recipe.model_dump(mode="json", exclude_none=True)
    found["sandbox"].pop("target", None)
    for judge in found["judges"].values():
        judge.pop("base_url", None)
    return found


def numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Every number in nested mappings, named by its path; what is undefined or no number is left out."""
    found: dict[str, float] = {}
    for key, value in values.items():
        name = f"{prefix}/{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            found |= numbers(value, name)
        elif isinstance(value, int | float):
            found[name] = float(value)
    return found


def measured(folder: Path, step: int) -> dict[str, float]:
    """Numbers of the evaluation and the validation after a step, named ``eval/<task>/...`` and ``validation/...``."""
    found: dict[str, float] = {}
    for kind in ("eval", "validation"):
        file = folder / kind / f"step-{step}.json"
        if file.exists():
            found |= numbers(read_json(file)["tasks"], kind)
    return found


class _TensorBoard:
    """Event files in the run folder, written anew at every start, so that nothing is missing or there twice."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.last = 0
        place = make_folder(folder / FOLDER / "tensorboard")
        for file in place.glob("events.out.tfevents.*"):
            file.unlink()
        # A TensorBoard that is open forgets what it has read when it finds purge_step.
        self._writer = SummaryWriter(str(place), purge_step=0)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write at once: a process that is killed has shown what it knew."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Remote:
    """Remembers in the run folder which of a tracker's runs this is, and how far it has come."""

    def __init__(self, name: str, folder: Path) -> None:
        self._file = make_folder(folder / FOLDER) / f"{name}.json"
        known: dict[str, Any] = read_json(self._file) if self._file.exists() else {}
        self.id: str = known.get("id") or uuid.uuid4().hex[:12]
        self.step: int = known.get("step", 0)
        self.reached(self.step)

    def reached(self, step: int) -> None:
        """A step has been handed over."""
        self.step = step
        write_json(self._file, {"id": self.id, "step": step})


class _WandB:
    """One W&B run for all starts of a run; ``WANDB_MODE=offline`` keeps it on this machine."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        wandb = import_module("wandb")
        self._remote = _Remote("wandb", folder)
        self.last = self._remote.step
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=self._remote.id,
            resume="allow",
            name=run_name(folder),
            group=folder.resolve().parent.name,
            config=dict(configuration),
            dir=str(make_folder(folder / FOLDER)),
            # Neither what is printed nor the command line, which may hold what a recipe must not.
            settings=wandb.Settings(console="off", silent=True, x_disable_meta=True, disable_git=True),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)
        self._remote.reached(step)

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    """One trackio run for all starts of a run."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        trackio = import_module("trackio")
        self._remote = _Remote("trackio", folder)
        self.last = self._remote.step
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{run_name(folder)}-{self._remote.id}",
            group=folder.resolve().parent.name,
            resume="allow",
            config=dict(configuration),
            embed=False,
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)
        self._remote.reached(step)

    def close(self) -> None:
        self._run.finish()


def run_name(folder: Path) -> str:
    """What a run is called where many are shown: its folder's name with the one above."""
    whole = folder.resolve()
    return f"{whole.parent.name}-{whole.name}"


TRACKERS: dict[str, Callable[[Path, Mapping[str, Any]], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WandB,
    "trackio": _Trackio,
}
"""How each is opened, given the run folder and what is told about the run."""
