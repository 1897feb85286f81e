"""A study of two tiny tasks through the command line: files, resuming after kill -9, stages, bad input."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import peft
import pytest
import transformers

from omnithinker.cli import main
from omnithinker.config.file import load_recipe
from omnithinker.io.lock import lock
from omnithinker.train.context import RunContext
from omnithinker.ui.view import View
from tests.builders.study import study


def results(folder: Path) -> dict[str, object]:
    """Read all results of a study, without times."""
    contents: dict[str, object] = {}
    for file in sorted(folder.glob("*/result.json")):
        contents[file.parent.name] = {k: v for k, v in json.loads(file.read_text()).items() if k != "seconds"}
    for name in ("accuracies.json", "plan.json"):
        contents[name] = json.loads((folder / name).read_text())
    return contents


def test_study_writes_every_result_and_repeats_nothing(recipe, tmp_path, capsys):
    assert study(recipe) == 0
    folder = tmp_path / "study"
    assert {p.parent.name for p in folder.glob("*/result.json")} == {
        "base",
        "single-up",
        "single-down",
        "curriculum-best",
        "joint",
    }
    assert (folder / "report.html").stat().st_size > 5000
    accuracies = json.loads((folder / "accuracies.json").read_text())
    assert accuracies["tasks"] == ["up", "down"]
    assert set(accuracies["after"]) == {"up", "down"}
    assert [probe["fraction"] for probe in accuracies["probes"]] == [0.5]
    plan = json.loads((folder / "plan.json").read_text())
    assert sorted(plan["order"]) == ["down", "up"]
    assert len(plan["ranking"]) == 2
    joint = json.loads((folder / "joint/result.json").read_text())
    curriculum = json.loads((folder / "curriculum-best/result.json").read_text())
    assert joint["completions"] == curriculum["completions"] == 12 * 3
    assert curriculum["order"] == plan["order"]

    before = {file: file.stat().st_mtime_ns for file in folder.glob("*/result.json")}
    capsys.readouterr()
    assert study(recipe) == 0
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*/result.json")} == before
    assert study(recipe, "--status") == 0
    assert capsys.readouterr().out.count("done") >= 7


@pytest.mark.slow
@pytest.mark.parametrize("deadly", [3, 25, 60])
def test_killed_study_ends_with_the_same_result(recipe, tmp_path, deadly):
    assert study(recipe) == 0
    whole = results(tmp_path / "study")
    command = [sys.executable, "-m", "omnithinker", "study", str(recipe), "--set", f"output={tmp_path / 'killed'}"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "deadly").write_text(str(deadly))
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    ended = results(tmp_path / "killed")
    assert ended == whole


def test_a_stage_alone_and_its_needs(recipe, tmp_path, capsys):
    assert study(recipe, "--stage", "plan") == 2
    assert "stage plan needs the results of: base, single:up, single:down" in capsys.readouterr().err
    assert study(recipe, "--stage", "single:up") == 0
    assert (tmp_path / "study/single-up/result.json").exists()
    assert not (tmp_path / "study/base").exists()
    assert study(recipe, "--stage", "single:side") == 2
    assert "no stage 'single:side'; stages: base, single:up" in capsys.readouterr().err


def test_dry_run_counts_and_writes_nothing(recipe, tmp_path, capsys):
    assert study(recipe, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "curriculum:best" in out
    assert not (tmp_path / "study").exists()


def test_other_settings_in_the_same_folder_are_refused(recipe, tmp_path, capsys):
    assert study(recipe, "--stage", "base") == 0
    assert study(recipe, "--set", "training.epochs=2") == 2
    assert "training.epochs was 1, is now 2" in capsys.readouterr().err


def test_a_stage_that_another_process_runs_is_refused(recipe, tmp_path, capsys):
    folder = tmp_path / "study/base"
    with lock(folder):
        assert study(recipe, "--stage", "base") == 130
        assert f"{folder}: in use by process {os.getpid()} on {socket.gethostname()}" in capsys.readouterr().err
        assert study(recipe, "--status") == 0
        assert "running" in capsys.readouterr().out
    assert study(recipe, "--stage", "base") == 0
    assert not (folder / "running.json").exists()


def test_a_second_study_is_refused_untouched(recipe, tmp_path, capsys):
    folder = tmp_path / "study"
    assert study(recipe, "--stage", "base") == 0
    before = contents(folder)
    with lock(folder):
        assert study(recipe, "--set", "training.keep=9") == 130
        assert f"{folder}: in use by process {os.getpid()}" in capsys.readouterr().err
        # One stage may run beside it, and leaves its files as they are.
        assert study(recipe, "--stage", "base", "--set", "training.keep=9") == 0
    assert contents(folder) == before


def test_leftovers_of_a_killed_study_are_removed(recipe, tmp_path):
    folder = tmp_path / "study"
    (folder / "base").mkdir(parents=True)
    for name in (".plan.json.7.tmp", ".report.html.7.tmp", "base/.result.json.7.tmp"):
        (folder / name).touch()
    assert study(recipe) == 0
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("running.json"))


def contents(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_an_evaluation_that_another_process_makes_is_refused(recipe, tmp_path, capsys):
    arguments = ["evaluate", str(recipe), "--output"]
    with lock(tmp_path, "results.json"):
        assert main([*arguments, str(tmp_path / "results.json")]) == 130
        assert f"{tmp_path}/results.json: in use by process" in capsys.readouterr().err
        assert not (tmp_path / "results.json").exists()
        assert main([*arguments, str(tmp_path / "others.json")]) == 0
    assert main([*arguments, str(tmp_path / "results.json")]) == 0
    assert (tmp_path / "results.json").read_text() == (tmp_path / "others.json").read_text()
    assert not list(tmp_path.glob(".*"))


def test_a_running_stage_touches_its_lock_and_a_stale_lock_is_taken_over(recipe, tmp_path, capsys, monkeypatch):
    file = tmp_path / "study/base/running.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert study(recipe, "--stage", "base") == 130
    assert "in use by process 1 on elsewhere" in capsys.readouterr().err
    for path in (file, file.parent):
        os.utime(path, (0, 0))
    # A running stage touches its lock at intervals, whatever else it writes.
    touched = threading.Event()
    evaluate = RunContext.evaluate

    def wait_for_touches(*arguments, **keywords):
        os.utime(file, (0, 0))
        for _ in range(2):  # the first may have started earlier
            touched.clear()
            assert touched.wait(60)
        assert file.stat().st_mtime > 1e9
        return evaluate(*arguments, **keywords)

    def utime(path, *times):
        os_utime(path, *times)
        if not times:
            touched.set()

    os_utime = os.utime
    monkeypatch.setattr(os, "utime", utime)
    monkeypatch.setattr("omnithinker.io.lock.HEARTBEAT_S", 0.01)
    monkeypatch.setattr(RunContext, "evaluate", wait_for_touches)
    assert study(recipe, "--stage", "base") == 0
    assert not file.exists()


def test_status_needs_no_torch(recipe):
    code = (
        "import sys\nfrom omnithinker.cli import main\n"
        f"assert main(['study', {str(recipe)!r}, '--status']) == 0\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "single:up" in done.stdout


def test_several_seeds(recipe, tmp_path):
    assert study(recipe, "--set", "study.seeds=[0,1]", "--set", "evaluation.every=0") == 0
    folder = tmp_path / "study"
    singles = [json.loads((folder / f"single-up-seed{s}/result.json").read_text())["tasks"] for s in (0, 1)]
    accuracies = json.loads((folder / "accuracies.json").read_text())
    mean = sum(result["down"]["accuracy"] for result in singles) / 2
    assert accuracies["after"]["up"]["down"] == pytest.approx(mean)
    assert singles[0] != singles[1]


def test_train_and_evaluate_commands(recipe, tmp_path, capsys):
    folder = tmp_path / "one"
    assert main(["train", str(recipe), "--task", "up", "--output", str(folder)]) == 0
    capsys.readouterr()
    newest = folder / "checkpoints/step-2"
    assert main(["evaluate", str(recipe), "--model", str(newest), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    stored = json.loads((folder / "result.json").read_text())["tasks"]
    assert measured["down"]["outcomes"] == stored["down"]["outcomes"]
    assert measured["up"]["accuracy"] == stored["up"]["accuracy"]
    # The same run under another schedule has its own folder.
    order = ["--schedule", "curriculum", "--order", "down,up"]
    assert main(["train", str(recipe), *order, "--set", "training.max_steps=3"]) == 0
    result = json.loads((tmp_path / "study-curriculum-down-up/result.json").read_text())
    assert (result["order"], result["steps"], result["completions"]) == (["down", "up"], 3, 9 * 3)
    log = (tmp_path / "study-curriculum-down-up/metrics.jsonl").read_text().splitlines()
    assert [[name for name in ("up", "down") if f"task/{name}/reward" in line] for line in log] == [
        ["down"],
        ["down"],
        ["up"],
    ]


def test_a_study_with_adapters_starts_every_run_from_the_bare_model(recipe, tmp_path, capsys):
    assert study(recipe, "--set", "model.lora={rank=2}", "--set", "training.learning_rate=0.02") == 0
    folder = tmp_path / "study"
    capsys.readouterr()
    contents = results(folder)
    # A saved adapter loads as its base with the adapter merged, without the study.
    for run in ("single-up", "single-down", "curriculum-best", "joint"):
        newest = sorted((folder / run / "checkpoints").iterdir(), key=lambda path: int(path.name.split("-")[1]))[-1]
        assert {"adapter_model.safetensors"} == {path.name for path in newest.glob("adapter_model*")}
        assert not list(newest.glob("model*.safetensors"))
        assert main(["evaluate", str(recipe), "--model", str(newest), "--json"]) == 0
        measured = json.loads(capsys.readouterr().out)
        for task, result in contents[run]["tasks"].items():
            assert measured[task]["outcomes"] == pytest.approx(result["outcomes"], abs=1e-6)
    assert main(["evaluate", str(recipe), "--json"]) == 0
    bare = json.loads(capsys.readouterr().out)
    for task, result in contents["base"]["tasks"].items():
        assert bare[task]["outcomes"] == result["outcomes"]
        assert result["outcomes"] != contents["joint"]["tasks"][task]["outcomes"]


def test_an_interrupted_study_with_adapters_resumes_from_its_adapter(recipe, tmp_path, capsys, monkeypatch):
    settings = ("--set", "model.lora={rank=2}", "--set", "training.learning_rate=0.02", "--set", "study.schedules=[]")
    assert study(recipe, *settings) == 0
    whole = results(tmp_path / "study")
    shown: list[int] = []

    def stop_in_the_curriculum(self, metrics, total):
        shown.append(metrics.step)
        if len(shown) == 6:  # two steps for each task alone, two of the curriculum's four
            signal.raise_signal(signal.SIGINT)

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patched:
        patched.setattr(View, "step", stop_in_the_curriculum)
        assert study(recipe, *settings, "--set", f"output={folder}") == 130
    assert shown == [1, 2, 1, 2, 1, 2]
    assert not (folder / "curriculum-best/result.json").exists()
    assert study(recipe, *settings, "--set", f"output={folder}") == 0
    assert results(folder) == whole
    # Merged by PEFT, the last adapter is the evaluated model, and no other run's.
    last = folder / "curriculum-best/checkpoints/step-4"
    base = transformers.AutoModelForCausalLM.from_pretrained(load_recipe(recipe).model.path)
    peft.PeftModel.from_pretrained(base, last).merge_and_unload().save_pretrained(tmp_path / "merged")
    transformers.AutoTokenizer.from_pretrained(last).save_pretrained(tmp_path / "merged")
    capsys.readouterr()
    assert main(["evaluate", str(recipe), "--model", str(tmp_path / "merged"), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    for task, result in whole["curriculum-best"]["tasks"].items():
        assert measured[task]["outcomes"] == pytest.approx(result["outcomes"], abs=1e-6)
        assert measured[task]["entropy"] == pytest.approx(result["entropy"], rel=1e-4)
        for other in ("base", "single-up", "single-down"):
            assert abs(whole[other]["tasks"][task]["entropy"] / result["entropy"] - 1) > 1e-3


def test_mixture_and_adaptive_runs(recipe, tmp_path):
    def prompts_per_step(name, *settings):
        overrides = [word for setting in settings for word in ("--set", setting)]
        folder = tmp_path / "-".join([name, *settings])
        assert main(["train", str(recipe), "--schedule", name, "--output", str(folder), *overrides]) == 0
        result = json.loads((folder / "result.json").read_text())
        assert (result["schedule"], result["order"], result["steps"]) == (name, ["up", "down"], 4)
        steps = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
        counts = [tuple(step.get(f"task/{task}/completions", 0) // 3 for task in ("up", "down")) for step in steps]
        assert result["completions"] == 3 * sum(map(sum, counts))
        return counts

    assert prompts_per_step("mixture") == [(2, 1), (1, 2), (2, 1), (1, 2)]
    assert prompts_per_step("mixture", "tasks.down.share=2") == [(1, 2)] * 4
    # With fixed shares, adaptive equals mixture.
    adaptive = prompts_per_step("adaptive", "tasks.up.share=9", "schedules.adaptive.min_share=1")
    assert adaptive == prompts_per_step("mixture", "tasks.up.share=9")
    assert adaptive[0] == (3, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("up.jsonl", None), "up.jsonl: cannot be read: No such file"),
        (("up.jsonl", ""), "up.jsonl: has no rows"),
        (("up.jsonl", '{"prompt": "x"}\n{"prompt": \n'), "up.jsonl:2: not valid JSON"),
        (("up.jsonl", "[1]\n"), "up.jsonl:1: expected an object"),
        (("down.jsonl", '{"promt": "x"}\n'), "down.jsonl:1: no field 'prompt', which the prompt template uses"),
        (("up.jsonl", '{"prompt": "' + 2000 * "x" + '"}\n'), "every prompt is longer than sampling.max_prompt_tokens"),
    ],
)
def test_bad_data_gets_one_line_and_leaves_nothing_behind(recipe, tmp_path, capsys, change, message):
    file, text = change
    (tmp_path / file).unlink()
    if text is not None:
        (tmp_path / file).write_text(text)
    assert study(recipe) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list((tmp_path / "study").glob("*/result.json"))


def test_overlong_prompts_are_skipped_and_reported(recipe, tmp_path, capsys):
    with (tmp_path / "up.jsonl").open("a") as stream:
        stream.write('{"prompt": "' + 2000 * "x" + '"}\n')
    assert study(recipe, "--dry-run") == 0
    assert "task up: left out 1 of 7 train prompts longer than 1024 tokens" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "{recipe}"],
            "select what to train: one task (--task), or a schedule for all tasks "
            "(--schedule curriculum, joint, mixture, adaptive); tasks: up, down",
        ),
        (["train", "{recipe}", "--task", "upp"], "no task 'upp' in the recipe; its tasks: up, down"),
        (
            ["train", "{recipe}", "--schedule", "joint", "--order", "up,down"],
            "--order needs a schedule with a task order",
        ),
        (["train", "{recipe}", "--schedule", "curriculum", "--order", "up"], "lacks down"),
        (["evaluate", "{recipe}", "--model", "/nowhere/model"], "model '/nowhere/model': no such folder; give a"),
        (["study", "/nowhere.toml"], "/nowhere.toml: cannot be read"),
        (["study", "{recipe}", "--set", "output=/proc/nothing"], "cannot write here"),
        (
            ["study", "{recipe}", "--set", "training.max_steps=1"],
            "training.max_steps = 1: a curriculum of 2 tasks needs at least 2 steps",
        ),
    ],
)
def test_bad_arguments_get_one_line(recipe, capsys, arguments, message):
    assert main([word.replace("{recipe}", str(recipe)) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
