"""The report of a study at every stage, of a single run, with several seeds, and with hostile text."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from omnithinker.cli import main
from omnithinker.errors import DataError
from omnithinker.report import dry_run_table, status_table, write_report
from omnithinker.report.collect import read_folder
from omnithinker.report.measures import entropy_matrix
from omnithinker.report.series import curve
from tests.builders.report_page import Page, summary
from tests.builders.study_folder import HOSTILE, TASKS, make_study

STAGES = ("nothing", "base", "single", "plan", "curriculum", "joint")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return make_study(tmp_path_factory.mktemp("study") / "synthetic")


def result(folder: Path, name: str) -> dict:
    return json.loads((folder / name / "result.json").read_text())["tasks"]


@pytest.mark.parametrize("until", STAGES)
def test_every_stage_can_be_shown(until, tmp_path):
    folder = make_study(tmp_path / "study", until=until)
    page = Page(write_report(folder).read_text())
    text, progress = summary(folder), STAGES.index(until)
    for number, words in (
        (1, "Base model and single-task training"),
        (2, "Transfer"),
        (3, "24 orders"),
        (4, "Accuracy after training on all tasks"),
        (5, "joint training on the same number of completions"),
    ):
        assert (words in page.text) == (progress >= number), words
        assert (words in re.sub(r"\s+", " ", text)) == (progress >= number), words
    assert ("Not finished: " in page.text) == (until != "joint")


def test_page_is_self_contained_and_text_is_not_markup(study):
    raw = write_report(study).read_text()
    page = Page(raw)
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    for _, attributes in page.elements:
        assert all(not name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "url(http" not in raw
    assert HOSTILE in "".join(page.words)


def test_plots_keep_their_text(study):
    page = Page(write_report(study).read_text())
    plots = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    # Accuracy, prediction; three panels for: alone, best, worst, joint.
    assert len(plots) == 2 + 3 * 4
    assert "predicted from single-task runs, 90% interval" in page.text
    assert not any("id" in attributes for tag, attributes in page.elements if tag == "g")


def test_same_folder_gives_the_same_page(study):
    first = write_report(study).read_bytes()
    assert write_report(study).read_bytes() == first
    assert not list(study.glob(".report*"))


def test_numbers_are_those_of_the_files(study):
    text, plan = summary(study), json.loads((study / "plan.json").read_text())
    base, alone = result(study, "base"), result(study, "single-qa")
    differences = [a - b for a, b in zip(alone["qa"]["outcomes"], base["qa"]["outcomes"], strict=True)]
    mean = sum(differences) / 200
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / 199 / 200)
    row = next(line for line in text.splitlines() if line.strip().startswith("qa") and "200" in line)
    assert row.split() == [
        "qa",
        "200",
        f"{base['qa']['accuracy']:.3f}",
        "±",
        f"{base['qa']['standard_error']:.3f}",
        f"{alone['qa']['accuracy']:.3f}",
        "±",
        f"{alone['qa']['standard_error']:.3f}",
        f"+{mean:.3f}",
        "±",
        f"{error:.3f}",
    ]
    transfer = math.log(result(study, "single-writing")["code"]["accuracy"] / base["code"]["accuracy"])
    matrix = text[text.index("Transfer") :]
    row = next(line for line in matrix.splitlines() if line.strip().startswith("code"))
    assert row.split()[1:][TASKS.index("writing")] == f"{transfer:+.3f}".replace("-", "−")
    orders = text[text.index("24 orders") :]
    listed = [line for line in orders.splitlines() if re.match(r"\s*\d+\s+[a-z]+ > ", line)]
    assert len(listed) == 24
    assert " > ".join(plan["order"]) in listed[0]
    assert "chosen" in listed[0]
    assert "worst" in listed[-1]


def test_measured_delta_rel_follows_eq_14(study):
    base, best = result(study, "base"), result(study, "curriculum-best")
    expected = sum(math.log(best[t]["accuracy"] / base[t]["accuracy"]) for t in TASKS) / 4
    text = summary(study, 160)
    row = next(line for line in text[text.index("Accuracy after training") :].splitlines() if "measured" in line)
    assert f"{expected:+.3f} ±" in row


def test_findings_state_clear_differences_only(tmp_path):
    folder = make_study(tmp_path / "study")
    best = json.loads((folder / "curriculum-best/result.json").read_text())
    (folder / "curriculum-worst/result.json").write_text(json.dumps(best | {"order": best["order"][::-1]}))
    for name in TASKS:
        best["tasks"][name] = result(folder, "base")[name]
    (folder / "joint/result.json").write_text(json.dumps(best))
    text = re.sub(r"\s+", " ", summary(folder))
    assert "lower by 0.000 ± 0.000, within two standard errors." in text
    assert re.search(
        r"After joint training .* it is \S+, lower by 0\.\d{3} ± 0\.\d{3}, more than two standard errors\.", text
    )


def test_undefined_rewards_are_counted_by_cause(study):
    text = summary(study, 160)
    row = next(line for line in text.splitlines() if line.strip().startswith("joint  "))
    lines = [json.loads(line) for line in (study / "joint/metrics.jsonl").open()]
    count = sum(line.get("task/writing/undefined/pairwise_judge/unparseable", 0) for line in lines)
    assert count == 5
    assert f"writing: pairwise_judge, unparseable {count}" in row
    assert "6,400" in row
    assert "2.0%" in row


def test_judges_and_length_are_shown(study, tmp_path):
    page = Page(write_report(study).read_text()).text
    said = " ".join(summary(study, width=220).split())
    for text in (page, said):
        assert "single-writing default judge-mini 12,345 67 8 2,500,000 1.6 judge_timeout 3" in text
        # 25 steps of the task: the first five have grown by 0 to 4/25 of 60 characters, the last by 20 to 24.
        assert "single-writing writing, first fifth 105 120 0.29 0.75 0.25 0.50" in text
        assert "single-writing writing, last fifth 153 120 0.69 0.75 0.25 0.50" in text
    (study_folder := tmp_path / "running").mkdir()
    shutil.copy(study / "single-writing/metrics.jsonl", study_folder)
    # A run that is under way: from its last step.
    assert "running default 250 0 0 0 0 judge_down 2" in " ".join(summary(study_folder, width=220).split())


def test_seeds_are_averaged_and_their_spread_is_shown(tmp_path):
    folder = make_study(tmp_path / "study", seeds=(0, 1, 2))
    found = read_folder(folder)
    assert [len(group.runs) for group in found.groups] == [3] * 7
    values = [result(folder, f"joint-seed{seed}")["math"]["accuracy"] for seed in range(3)]
    mean = sum(values) / 3
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / 2)
    text = summary(folder, 250)
    row = next(line for line in text[text.index("Accuracy after training") :].splitlines() if "joint" in line)
    assert f"{mean:.3f} ± " in row
    assert f"({spread:.3f})" in row
    assert "One seed" not in text
    shutil.rmtree(folder / "joint-seed2")
    assert "joint training (2 of 3 seeds)" in re.sub(r"\s+", " ", summary(folder))
    write_report(folder)


def test_folder_of_one_run(study, tmp_path):
    run = shutil.copytree(study / "curriculum-best", tmp_path / "run")
    page = Page(write_report(run).read_text())
    assert "Accuracy after the run" in page.text
    assert sum(tag == "svg" for tag, _ in page.elements) == 3
    assert "Transfer" not in page.text
    assert "Accuracy after the run" in summary(run)
    (run / "result.json").unlink()
    assert "No run is finished yet." in Page(write_report(run).read_text()).text


def test_a_run_cut_off_in_the_middle_is_shown_as_missing(tmp_path):
    folder = make_study(tmp_path / "study")
    (folder / "joint/result.json").unlink()
    with (folder / "joint/metrics.jsonl").open("a") as stream:
        stream.write('{"step": 101, "tok')
    assert "Not finished: joint training." in re.sub(r"\s+", " ", summary(folder))
    assert "Accuracy per step: Joint training" in write_report(folder).read_text()


def test_narrow_terminal_loses_no_number(study):
    text = summary(study, 80)
    plan = json.loads((study / "plan.json").read_text())
    assert ">".join(plan["order"]) in text
    assert "c chosen, w worst" in re.sub(r"\s+", " ", text)
    for ranked in plan["ranking"]:
        assert f"{ranked['delta_rel']:+.3f}" in text


def test_any_schedule_of_the_index_is_shown_under_its_label(tmp_path):
    folder = make_study(tmp_path / "study")
    index = json.loads((folder / "stages.json").read_text())
    entry = {
        "name": "gradual",
        "kind": "schedule",
        "label": "gradual mixing",
        "folder": "gradual",
        "subject": "gradual",
    }
    index.insert(-1, entry | {"seed": None, "needs": [], "schedule": "gradual", "added_later": 1})
    (folder / "stages.json").write_text(json.dumps(index))
    assert "Not finished: gradual mixing." in re.sub(r"\s+", " ", summary(folder))
    shutil.copytree(folder / "joint", folder / "gradual")
    page = Page(write_report(folder).read_text())
    assert "After gradual mixing" in page.text
    assert "curriculum, best order − gradual mixing" in page.text
    assert any(
        dict(attributes).get("aria-label") == "Reward per step: Gradual mixing" for _, attributes in page.elements
    )
    table = summary(folder, 250)
    rows = [line.split() for line in table[table.index("Accuracy after training") :].splitlines()]
    assert ["gradual", "mixing", "measured"] in [row[:3] for row in rows]


def test_a_folder_that_the_index_does_not_list_is_shown_under_its_name(tmp_path):
    folder = make_study(tmp_path / "study")
    shutil.copytree(folder / "joint", folder / "my-own-run")
    assert "curriculum, best order − my-own-run" in Page(write_report(folder).read_text()).text
    (folder / "stages.json").unlink()
    groups = read_folder(folder).groups
    assert {group.kind for group in groups} == {"other"}
    assert "my-own-run" in [group.label for group in groups]


def test_absent_entropies_are_dashes_and_have_no_plot(tmp_path):
    folder = make_study(tmp_path / "study")
    for file in [*folder.glob("*/result.json"), *folder.glob("*/eval/*.json")]:
        value = json.loads(file.read_text())
        if file.parent.name == "joint":
            value["tasks"]["math"]["entropy"] = None
        if file.parent.name in ("base", "single-qa"):
            value["tasks"]["writing"]["entropy"] = None
        file.write_text(json.dumps(value))
    for run in ("joint", "single-qa"):
        lines = [json.loads(line) for line in (folder / run / "metrics.jsonl").open()]
        for line in lines:
            line.update({key: None for key in line if key.endswith("/entropy")})
        (folder / run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    study = read_folder(folder)
    (joint,) = [group for group in study.groups if group.label == "joint training"]
    assert curve(study, joint, "math", "entropy").raw == ((), ())
    assert curve(study, joint, "math", "entropy").held_out[0] == (0, 25, 50, 75)
    matrix = entropy_matrix(study)
    assert [np.isnan(row).any() for row in matrix] == [False, False, False, True]
    text = summary(folder, 160)
    rows = text[text.index("Entropy change") :].splitlines()
    assert next(row.split() for row in rows if row.strip().startswith("writing")) == ["writing", "–", "–", "–", "–"]
    alone = shutil.copytree(folder / "joint", tmp_path / "alone")
    final = next(row.split() for row in summary(alone, 160).splitlines() if row.strip().startswith("math"))
    assert final[-2] == "–"
    for file in (alone / "eval").glob("*.json"):
        file.unlink()
    value = json.loads((alone / "result.json").read_text())
    for task in value["tasks"].values():
        task["entropy"] = None
    (alone / "result.json").write_text(json.dumps(value))
    labels = [
        attributes["aria-label"] for tag, attributes in Page(write_report(alone).read_text()).elements if tag == "svg"
    ]
    assert [label.split(" per step")[0] for label in labels] == ["Accuracy", "Reward"]


def drop_an_item(file: Path) -> None:
    value = json.loads(file.read_text())
    value["tasks"]["writing"]["outcomes"].pop()
    file.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: shutil.rmtree(f), "no such folder"),
        (lambda f: [shutil.rmtree(p) if p.is_dir() else p.unlink() for p in f.iterdir()], "contains neither"),
        (lambda f: (f / "plan.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "stages.json").write_text('[{"name": "base"}]'), "stages.json: damaged"),
        (lambda f: (f / "single-qa/metrics.jsonl").write_text('{"loss": 1}\n'), "does not hold the metrics of a step"),
        (lambda f: (f / "base/result.json").write_text('{"tasks": {"math": {"n": 3}}}'), "tasks.math.task: field"),
        (lambda f: drop_an_item(f / "single-qa/result.json"), "199 held-out items of writing, but 200 in base"),
    ],
)
def test_bad_folders(damage, message, tmp_path, capsys):
    folder = make_study(tmp_path / "study", until="plan")
    damage(folder)
    with pytest.raises(DataError, match=message):
        read_folder(folder)
    assert main(["report", str(folder)]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "report.html").exists()


def test_command_line(study, capsys):
    assert main(["report", str(study), "--quiet"]) == 0
    assert capsys.readouterr().out == f"report: {study}/report.html\n"
    assert main(["report", str(study)]) == 0
    assert "Accuracy after training on all tasks" in capsys.readouterr().out


def test_writing_a_report_needs_no_torch(study):
    code = (
        "import sys, pathlib, omnithinker.report as r; r.write_report(pathlib.Path(sys.argv[1])); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(study)], check=False).returncode == 0


def test_status_and_dry_run_tables():
    console = Console(width=100, record=True, file=io.StringIO())
    statuses = [
        SimpleNamespace(stage=SimpleNamespace(name="base"), state="done", step=0, accuracies={"math": 0.5}),
        SimpleNamespace(stage=SimpleNamespace(name="single:math"), state="running", step=7, accuracies={}),
    ]
    console.print(status_table(statuses))
    rows = [
        {"stage": "base", "done": True, "prompts": 0, "steps": 0, "completions": 400, "most_tokens": 16000},
        {"stage": "joint", "done": False, "prompts": 800, "steps": 100, "completions": 7200, "most_tokens": 288000},
    ]
    console.print(dry_run_table(rows))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["base", "done", "–", "0.500"] in lines
    assert ["single:math", "running", "7", "–"] in lines
    assert ["joint", "to", "run", "800", "100", "7,200", "288,000"] in lines
    # Only what is still to run is paid for.
    assert ["to", "run", "800", "100", "7,200", "288,000"] in lines
