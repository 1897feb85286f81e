"""The report of runs that were validated: curves with errors, the weights kept and measured, the end by patience."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from omnithinker.config.recipe import Recipe
from omnithinker.errors import DataError
from omnithinker.report import plots, write_report
from omnithinker.report.collect import read_folder
from omnithinker.report.series import curve
from omnithinker.train.best import Selection
from tests.builders.report_page import Page, summary
from tests.builders.study_folder import TASKS, make_study, recipe

RISING = {10: {"math": 0.25}, 20: {"math": 0.75}, 25: {"math": 0.5}}
PHASES = {
    20: dict(zip(TASKS, (0.75, 0.5, 0.25, 0.5), strict=True)),
    60: dict(zip(TASKS, (0.5, 0.75, 0.25, 0.25), strict=True)),
    100: dict(zip(TASKS, (0.25, 0.25, 0.75, 0.25), strict=True)),
}
"""The mean is best at step 20; code is best at 60, qa at 100."""


def add_validation(run: Path, found: dict[int, dict[str, float]], error: float = 0.1, **manifest: object) -> None:
    """Give a run of :func:`make_study` validations, and best weights as training would have kept them."""
    kept = Selection()
    (run / "validation").mkdir()
    for step, accuracies in found.items():
        tasks = {task: {"accuracy": value, "standard_error": error, "n": 20} for task, value in accuracies.items()}
        (run / f"validation/step-{step}.json").write_text(json.dumps({"step": step, "tasks": tasks}))
        kept = kept.after(step, accuracies)
    best = {f"checkpoints/{name}": asdict(value) for name, value in kept.folders().items()}
    result = run / "result.json"
    if result.exists():
        result.write_text(json.dumps(json.loads(result.read_text()) | {"best": best} | manifest))
        return
    for name, value in best.items():
        (run / name).mkdir(parents=True)
        (run / name / "best.json").write_text(json.dumps(value))


@pytest.fixture
def joint(tmp_path: Path) -> Path:
    """The folder of one run."""
    shutil.copytree(make_study(tmp_path / "study") / "joint", tmp_path / "joint")
    return tmp_path / "joint"


def row_of(page: Page, first: str) -> str:
    """Words of a row of the validation table, by its first cell."""
    table = page.text[page.text.index("Validation and best weights") :]
    return table[table.index(f" {first} ") :]


def test_validation_has_a_curve_of_its_own_with_errors(tmp_path):
    folder = make_study(tmp_path / "study", seeds=(0, 1), until="single")
    add_validation(folder / "single-math-seed0", RISING, 0.1)
    add_validation(folder / "single-math-seed1", {10: {"math": 0.5}, 20: {"math": 0.25}}, 0.2)
    study = read_folder(folder)
    math, code, *_ = study.of("single")
    steps, values, errors = curve(study, math, "math", "accuracy").validation
    assert steps == (10, 20, 25)
    assert values == pytest.approx((0.375, 0.5, 0.5))
    assert errors == pytest.approx((0.15, 0.15, 0.1))
    assert curve(study, math, "math", "reward").validation == ((), (), ())
    assert curve(study, code, "code", "accuracy").validation == ((), (), ())


def test_the_band_is_as_wide_as_the_error(tmp_path):
    def height(error: float) -> float:
        folder = make_study(tmp_path / str(error), until="single")
        add_validation(folder / "single-math", RISING, error)
        study = read_folder(folder)
        drawn, *others = (plot.split("fill-opacity: 0.13") for plot in plots.curve_plots(study, study.of("single"), ""))
        assert len(drawn) == 2
        assert all(len(other) == 1 for other in others)  # only accuracy has a band
        outline = drawn[0][drawn[0].rindex(' d="') :]
        ys = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", outline)]
        return max(ys) - min(ys)

    # From 0.25 - error to 0.75 + error.
    assert height(0.1) / height(0.05) == pytest.approx(0.7 / 0.6, rel=1e-3)


def test_the_report_names_kept_and_evaluated_weights(tmp_path):
    folder = make_study(tmp_path / "study")
    before = Page(write_report(folder).read_text()).text
    assert "Validation and" not in before
    assert "validation items" not in before
    assert "best weights" not in before
    settings = recipe().model_dump(mode="json", exclude_none=True)
    settings["evaluation"] |= {"every": 20, "validation_items": 20, "result": "best"}
    (folder / "recipe.toml").write_text(Recipe.model_validate(settings).to_toml())
    add_validation(folder / "single-math", RISING, measured_step=20, stopped_early=True)
    add_validation(folder / "joint", PHASES, measured_step=100)
    add_validation(folder / "curriculum-best", PHASES, measured_step=20)
    page = Page(write_report(folder).read_text())
    assert row_of(page, "single-math").startswith(
        " single-math step 25, by patience step 20 (the best) step 20 0.750 ± 0.100 step 20 0.750 ± 0.100 – – –"
    )
    # The mean of four tasks has half their error.
    assert row_of(page, "joint").startswith(
        " joint step 100 step 100 (the last) step 20 0.500 ± 0.050 step 20 0.750 ± 0.100 step 60 0.750 ± 0.100 "
        "step 100 0.750 ± 0.100 step 20 0.500"
    )
    assert "Patience ended the run of single-math after step 25." in page.text
    assert page.text.count("Every run is evaluated with its best weights on validation items.") == 2
    assert page.text.count("★ best weights of the task") == 3  # figures with validation
    assert page.text.count("❙ ended by patience") == 1
    printed = re.sub(r"\s+", " ", summary(folder, width=200))
    assert "single-math step 25, by patience step 20 (the best) step 20 0.750 ± 0.100" in printed


def test_weights_from_before_a_task_was_trained_are_pointed_out(tmp_path):
    folder = make_study(tmp_path / "study")
    order = json.loads((folder / "curriculum-best/result.json").read_text())["order"]
    add_validation(folder / "curriculum-best", PHASES, measured_step=60)  # 25 steps a task
    add_validation(folder / "joint", PHASES, measured_step=20)
    page = Page(write_report(folder).read_text()).text
    assert (
        f"The evaluated weights are those of step 60, the best by validation, before any training on {order[3]}."
        in page
    )
    assert "The evaluated weights are those of step 20, the best by validation." in page
    words = "that validation selected precede all training on"
    assert f"The weights of curriculum, best order {words} {order[3]}." in page
    assert page.count(words) == 1


def test_a_run_that_never_came_to_a_task_kept_nothing_from_before_it(tmp_path):
    folder = make_study(tmp_path / "study")
    run = folder / "curriculum-best"
    last = json.loads((run / "result.json").read_text())["order"][-1]
    steps = [line for line in (run / "metrics.jsonl").read_text().splitlines() if f"task/{last}/" not in line]
    (run / "metrics.jsonl").write_text("\n".join(steps) + "\n")
    add_validation(run, PHASES, measured_step=len(steps))
    assert "before any training" not in Page(write_report(folder).read_text()).text


def test_kept_weights_of_a_run_under_way_come_from_their_folders(joint):
    (joint / "result.json").unlink()
    add_validation(joint, PHASES)
    page = Page(write_report(joint).read_text())
    assert "step 100 so far – step 20 0.500 ± 0.050" in page.text
    (joint / "checkpoints/best/best.json").write_text('{"step": 20}')
    with pytest.raises(DataError, match=r"best\.json: damaged \(accuracy: field required"):
        read_folder(joint)


def test_a_damaged_validation_is_named(joint):
    add_validation(joint, PHASES)
    (joint / "validation/step-20.json").write_text("{}")
    with pytest.raises(DataError, match=r"step-20\.json: damaged \(step: field required"):
        read_folder(joint)


def test_held_out_accuracy_is_plotted_at_the_evaluated_step(joint):
    shutil.rmtree(joint / "eval")
    add_validation(joint, PHASES, measured_step=20)
    study = read_folder(joint)
    assert curve(study, study.groups[0], "math", "accuracy").held_out[0] == (20,)
