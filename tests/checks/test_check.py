"""``omnithinker check``: good recipes pass; what is wrong is named, with its row, and ends with exit code 2."""

from __future__ import annotations

import json
import re
import sys

import pytest

from omnithinker.cli import main
from omnithinker.errors import SandboxUnavailable
from omnithinker.rewards import resources
from tests.builders import ROOT
from tests.builders.fake_endpoint import FakeEndpoint, Reply

LAB = "lab-quick"
TESTS = {"fn_name": "inc", "inputs": [[1], [2]], "outputs": [2, 3]}


@pytest.fixture
def check(tmp_path, capsys):
    """Write rows and a recipe of one task, run the command with ``--json``; gives exit code and what was printed."""

    def run(train, test, rewards, *arguments, more=""):
        for name, rows in (("train", train), ("test", test)):
            lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(
            f'{more}\n[tasks.t]\ntrain = "train.jsonl"\ntest = "test.jsonl"\n'
            + "".join(f"rewards.{name} = {value}\n" for name, value in rewards.items())
        )
        code = main(["check", str(recipe), "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return run


def problems(report, section):
    return [problem["problem"] for problem in report["problems"] if problem["section"] == section]


def tallies(report, component):
    (found,) = [check for check in report["rewards"]["components"] if check["name"] == component]
    return found["tallies"]


def test_the_lab_is_fine(capsys):
    assert main(["check", LAB, "--rows", "12", "--set", "sandbox.cpu_seconds=0.5"]) == 0
    out = capsys.readouterr().out
    for line in ("✓ model", "✓ data", "✓ rewards", "✓ sandbox", "✓ memory", "✓ tokens", "no problems"):
        assert line in out
    assert re.search(r"math +math_answer +gold answer +12/12 +all", out)
    assert re.search(r"code +unit_tests +reference solution +12/12 +all", out)
    assert re.search(r"writes a forged report +0/12 +none", out)
    assert re.search(r"infinite loop +0/2 +none", out)


def test_the_lab_as_json(capsys):
    assert main(["check", LAB, "--rows", "3", "--json", "--set", "sandbox.cpu_seconds=0.5"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["problems"] == []
    assert report["model"]["parameters"] == 951_552
    assert report["data"]["tasks"]["qa"]["train"] == {"rows": 240, "too_long": 0, "longest_prompt": 20}
    assert report["data"]["tasks"]["qa"]["in_both_splits"] == []
    assert report["sandbox"]["level"] in ("strong", "weak")
    assert report["tokens"]["most_tokens"] == sum(stage["most_tokens"] for stage in report["tokens"]["stages"])
    assert tallies_of(report, "math", "math_answer")["gold answer"]["of"] == 3


def tallies_of(report, task, component):
    return next(c["tallies"] for c in report["rewards"]["components"] if (c["task"], c["name"]) == (task, component))


def test_rows_that_fail_are_named_with_value_and_cause(check):
    train = [
        {"prompt": "a", "answer": "1"},
        {"prompt": "b", "answer": "\\frac{"},
        {"prompt": "c", "answer": "3"},
    ]
    code, report = check(train, [{"prompt": "d", "answer": "4"}], {"math_answer": 1.0})
    assert code == 2
    # Equal text is right whatever it means; that the gold answer says nothing shows when it is compared.
    assert tallies(report, "math_answer")["gold answer"]["right"] == 4
    assert tallies(report, "math_answer")["wrong answer"] == {
        "right": 3,
        "of": 4,
        "ones": 0,
        "undefined": {"gold_unparseable": 1},
        "values": [],
        "expected": 0.0,
    }
    (component,) = report["rewards"]["components"]
    (failure,) = component["failures"]
    assert failure["place"].endswith("train.jsonl:2")
    assert (failure["field"], failure["expected"], failure["value"]) == ("answer", 0.0, None)
    assert failure["cause"].startswith("gold_unparseable: ")
    assert any("wrong answer: 1 of 4 did not score 0; first" in line for line in problems(report, "rewards"))


def test_a_reference_solution_that_fails_is_named(check):
    rows = [
        {"prompt": "a", "tests": TESTS, "solution": "def inc(x): return x + 1"},
        {"prompt": "b", "tests": TESTS, "solution": "def inc(x): return x"},
    ]
    code, report = check(rows, rows[:1], {"unit_tests": 1.0}, more="sandbox.cpu_seconds = 0.3")
    assert code == 2
    (line,) = problems(report, "rewards")
    assert "reference solution: 1 of 3 did not score 1; first" in line
    assert "train.jsonl:2: 0 (failed: test 0: got 1)" in line
    found = tallies(report, "unit_tests")
    assert found.pop("reference solution")["ones"] == 2
    assert len(found) >= 8
    assert all(tally["ones"] == 0 and tally["right"] == tally["of"] for tally in found.values())


def test_a_package_that_a_reference_solution_needs_is_named(check):
    rows = [{"prompt": "a", "tests": TESTS, "solution": "import absent_package\ndef inc(x): return x + 1"}]
    code, report = check(rows, [rows[0] | {"prompt": "b"}], {"unit_tests": 1.0}, more="sandbox.cpu_seconds = 0.3")
    assert code == 2
    (line,) = problems(report, "rewards")
    assert "No module named 'absent_package'; install the package 'absent_package' if need be, and add it to" in line


def test_tests_that_a_constant_passes_are_a_note_and_no_cheat(check):
    rows = [{"prompt": "a", "tests": {"fn_name": "f", "inputs": [[1], [2]], "outputs": [5, 5]}}]
    code, report = check(rows, [rows[0] | {"prompt": "b"}], {"unit_tests": 1.0})
    assert code == 0
    notes = report["rewards"]["notes"]
    assert any("2 of 2 rows have tests that constant output passes" in note for note in notes)
    assert any("no row has a reference solution" in note for note in notes)


def test_bad_rows_are_all_listed(check):
    train = [{"prompt": "a", "answer": "x"}, {"prompt": "b"}, {"answer": "y"}, {"prompt": "c", "answer": [None]}]
    code, report = check(train, [{"prompt": "d", "answer": "z"}], {"short_answer": 1.0})
    assert code == 2
    bad = report["data"]["tasks"]["t"]["bad_rows"]
    assert len(bad) == 3
    assert "train.jsonl:2: no field 'answer'" in bad[0]
    assert "train.jsonl:3: no field 'prompt'" in bad[1]
    assert "train.jsonl:4: field 'answer': entries must be text or numbers, got null" in bad[2]
    assert report["data"]["tasks"]["t"]["train"]["rows"] == 1
    assert report["tokens"]["stages"] is None


def test_a_damaged_file_is_a_problem_not_a_crash(check):
    code, report = check(['{"prompt": '], [{"prompt": "d", "answer": "z"}], {"short_answer": 1.0})
    assert code == 2
    assert "train.jsonl:1: not valid JSON" in problems(report, "data")[0]


def test_test_prompts_that_are_training_prompts_are_found(check):
    train = [{"prompt": "What is 1?", "answer": "one"}, {"prompt": "b", "answer": "x"}, {"prompt": "b", "answer": "x"}]
    test = [{"prompt": "what  is 1?", "answer": "one"}, {"prompt": "c", "answer": "x"}]
    code, report = check(train, test, {"short_answer": 1.0})
    assert code == 2
    (line,) = problems(report, "data")
    assert "1 test prompt is (" in line
    assert "test.jsonl:1" in line
    assert [place.rpartition("/")[2] for place in report["data"]["tasks"]["t"]["repeated"]] == ["train.jsonl:3"]


def test_prompts_over_the_limit_are_counted(check):
    rows = [{"prompt": "a " * 50, "answer": "x"}, {"prompt": "b", "answer": "x"}]
    more = "sampling.max_prompt_tokens = 30"
    code, report = check(rows, [{"prompt": "c", "answer": "x"}], {"short_answer": 1.0}, more=more)
    assert code == 0
    assert report["data"]["tasks"]["t"]["train"]["too_long"] == 1
    assert any("1 of 2 train prompts are longer than 30 tokens" in note for note in report["data"]["notes"])
    code, report = check(rows[:1], [{"prompt": "c", "answer": "x"}], {"short_answer": 1.0}, more=more)
    assert code == 2
    assert "none is left" in problems(report, "data")[0]


def test_the_folders_that_are_used_are_named(check, tmp_path, capsys):
    rows = [{"prompt": "a", "answer": "x"}], [{"prompt": "b", "answer": "x"}]
    assert check(*rows, {"short_answer": 1.0})[0] == 0
    main(["check", str(tmp_path / "recipe.toml")])
    assert "folder of study runs/recipe, of train --task runs/recipe-single-t" in capsys.readouterr().out


def test_a_limit_of_steps_that_no_curriculum_can_keep(check):
    rows = [{"prompt": "a", "answer": "x"}], [{"prompt": "b", "answer": "x"}]
    other = '[tasks.u]\ndata = "lab:qa"\nrewards.short_answer = 1.0\n'
    code, report = check(*rows, {"short_answer": 1.0}, more="training.max_steps = 1\n" + other)
    assert code == 2
    assert problems(report, "recipe") == ["training.max_steps = 1: a curriculum of 2 tasks needs at least 2 steps"]


def test_a_model_that_is_not_there(check, tmp_path):
    rows = [{"prompt": "a", "answer": "x"}]
    code, report = check(
        rows, [{"prompt": "b", "answer": "x"}], {"short_answer": 1.0}, more=f'model.path = "{tmp_path}/none"'
    )
    assert code == 2
    assert "/none': no such folder" in problems(report, "model")[0]
    assert report["data"]["tasks"]["t"]["train"] == {"rows": 1, "too_long": None, "longest_prompt": None}
    assert "memory" not in report


def test_a_model_without_chat_template_or_weights(check, tmp_path, model_folder):
    (model_folder / "chat_template.jinja").unlink()
    (model_folder / "model.safetensors").unlink()
    rows = [{"prompt": "a", "answer": "x"}]
    code, report = check(
        rows, [{"prompt": "b", "answer": "x"}], {"short_answer": 1.0}, more=f'model.path = "{model_folder}"'
    )
    assert code == 2
    assert [line for line in problems(report, "model") if "no chat template" in line]
    assert [line for line in problems(report, "model") if "no weights in safetensors format" in line]


def test_the_number_of_rows_is_a_choice(check):
    rows = [{"prompt": str(n), "answer": str(n)} for n in range(9)]
    test = [{"prompt": "x", "answer": "10"}]
    for given, tried in ((("--rows", "4"), 4), (("--rows", "0"), 10), ((), 10)):
        _, report = check(rows, test, {"math_answer": 1.0}, *given)
        assert tallies(report, "math_answer")["gold answer"]["of"] == tried


def test_negative_rows_are_bad_input(capsys):
    assert main(["check", LAB, "--rows", "-1"]) == 2
    assert "--rows -1" in capsys.readouterr().err


EXTERNAL = """
def half(prompts, completions, **columns):
    return [0.5 if "gold" in text else None for text in completions]

def broken(prompts, completions, **columns):
    raise KeyError("missing column")
"""


@pytest.fixture
def external(tmp_path, monkeypatch):
    (tmp_path / "check_external.py").write_text(EXTERNAL)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("check_external", None)


def test_other_peoples_rewards_are_run_and_shown(check, external):
    rows = [{"prompt": "a", "answer": "gold"}, {"prompt": "b", "answer": "x"}]
    rewards = {"mine": '{ kind = "python:check_external:half" }'}
    code, report = check(rows, [{"prompt": "c", "answer": "gold"}], rewards)
    assert code == 0
    found = tallies(report, "mine")["gold"]
    assert (found["values"], found["undefined"], found["of"]) == ([0.5, 0.5], {"undefined": 1}, 3)


def test_an_error_in_other_peoples_rewards_is_named(check, external):
    rows = [{"prompt": "a", "answer": "gold"}]
    rewards = {"mine": '{ kind = "python:check_external:broken" }'}
    code, report = check(rows, [{"prompt": "c", "answer": "gold"}], rewards)
    assert code == 2
    assert "reward 'mine' of task 't' failed on row 0: KeyError: 'missing column'" in problems(report, "rewards")[0]


def test_failing_rows_are_cut_unless_all_are_wanted(check, tmp_path, capsys):
    rows = [{"prompt": str(n), "answer": f"\\frac{{{n}"} for n in range(12)]
    check(rows, [{"prompt": "x", "answer": "1"}], {"math_answer": 1.0})
    recipe = str(tmp_path / "recipe.toml")
    assert main(["check", recipe]) == 2
    few = capsys.readouterr().out
    assert few.count("field answer: math_answer of wrong answer") == 5
    assert "more (--all lists them)" in few
    assert main(["check", recipe, "--all"]) == 2
    assert capsys.readouterr().out.count("field answer: math_answer of wrong answer") == 12


def judge_settings(url: str) -> str:
    return (
        f'judges.default = {{ kind = "chat", model = "m", base_url = "{url}", retries = 0, '
        "price_input = 1.0, price_output = 2.0 }"
    )


WRITING = [{"prompt": str(n), "reference": f"text {n}"} for n in range(5)]
JUDGED = {"pairwise_judge": '{ order = "fixed" }'}


def test_a_judge_is_asked_about_one_row_and_its_cost_is_shown(check):
    with FakeEndpoint() as endpoint:
        endpoint.answer = lambda body: Reply("The second is better. [[B]]")
        code, report = check(WRITING, WRITING[:1], JUDGED, more=judge_settings(endpoint.url))
    assert len(endpoint.requests) == 2
    used = report["judges"]["judges"]["default"]
    assert (used["model"], used["calls"], used["prompt_tokens"], used["failures"]) == ("m", 2, 200, {})
    assert used["cost"] == pytest.approx((200 * 1.0 + 20 * 2.0) / 1e6)
    assert report["judges"]["notes"] == ["judges.default: up to 128 calls in a training step, retries not included"]
    assert problems(report, "rewards") == []
    assert tallies(report, "pairwise_judge")["reference itself"]["values"] == [0.0]
    assert code == 2  # the test prompt is a training prompt too; nothing else
    assert len(report["problems"]) == 1


def test_a_judge_without_a_key_is_a_problem_and_the_rest_is_checked(check, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    code, report = check(WRITING[:3], WRITING[4:], JUDGED, more='judges.default = { kind = "chat", model = "m" }')
    assert code == 2
    (line,) = problems(report, "rewards")
    assert "the environment variable OPENAI_API_KEY is not set" in line
    assert report["judges"]["judges"]["default"]["calls"] == 0
    assert report["memory"]["problems"] == []


def test_a_judge_that_prefers_nonsense_or_gives_no_verdict_is_a_problem(check):
    with FakeEndpoint() as endpoint:
        endpoint.answer = lambda body: Reply("The first. [[A]]")
        _, report = check(WRITING[:3], WRITING[4:], JUDGED, more=judge_settings(endpoint.url))
        (line,) = problems(report, "rewards")
        assert "nonsense: 1 of 1 did not score 0" in line
        endpoint.answer = lambda body: Reply("I cannot say.")
        code, report = check(WRITING[:3], WRITING[4:], JUDGED, more=judge_settings(endpoint.url))
    assert code == 2
    assert "reference itself: 1 of 1 have no verdict" in problems(report, "rewards")[0]
    assert "undefined (judge_unparseable: two replies without a verdict" in problems(report, "rewards")[0]


def test_a_sandbox_that_is_refused_is_a_problem_and_other_tasks_go_on(check, monkeypatch):
    def refuse(settings):
        raise SandboxUnavailable('no Landlock; sandbox.level = "weak" does without')

    monkeypatch.setattr(resources, "open_sandbox", refuse)
    rows = [{"prompt": "a", "tests": TESTS}]
    code, report = check(rows, [{"prompt": "b", "tests": TESTS}], {"unit_tests": 1.0, "format": 0.1})
    assert code == 2
    assert problems(report, "sandbox") == ['no Landlock; sandbox.level = "weak" does without']
    assert report["problems"] == [{"section": "sandbox", "problem": problems(report, "sandbox")[0]}]
    assert tallies(report, "format")["in the format"]["right"] == 1
    assert any("there is no sandbox" in note for note in report["rewards"]["notes"])


def test_an_adapter_frozen_embeddings_and_small_batches_are_counted(capsys):
    pytest.importorskip("peft")
    arguments = ["check", LAB, "--rows", "1", "--json", "--set", "sandbox.cpu_seconds=0.3"]
    sizes = {}
    for name, settings in {
        "all": [],
        "frozen": ["model.freeze_embeddings=true"],
        "lora": ["model.lora={rank=4}", "tasks.math.beta=0.1"],
        "reference": ["tasks.math.beta=0.1"],
        "small batches": ["sampling.batch_size=1"],
    }.items():
        assert main([*arguments, *(word for setting in settings for word in ("--set", setting))]) == 0
        report = json.loads(capsys.readouterr().out)
        sizes[name] = report["memory"]["bytes"] | {"trained": report["model"]["trained"]}
    base = 951_552
    assert sizes["all"]["trained"] == base
    embeddings = 1273 * 128
    assert sizes["frozen"]["trained"] == base - embeddings
    # rank x (inputs + outputs) of the seven linear layers of each of four layers
    assert sizes["lora"]["trained"] == 4 * 4 * lab_linear_widths()
    for name in sizes:
        assert sizes[name]["optimizer"] == 2 * sizes[name]["gradients"] == 8 * sizes[name]["trained"]
        assert sizes[name]["base"] == 4 * base
    assert sizes["lora"]["weights"] == 4 * (base + sizes["lora"]["trained"])
    # The base model is loaded once, for evaluation and as the reference policy.
    assert sizes["reference"] == sizes["all"]
    # The completions of a prompt stay together: 8 of the step's 64 are decoded at once.
    assert sizes["all"]["kv_cache"] == 8 * sizes["small batches"]["kv_cache"]
    assert sizes["all"]["sampling"] == 8 * sizes["small batches"]["sampling"]


@pytest.mark.parametrize(("compiled", "phase"), [("false", "generation"), ("true", "all")])
def test_memory_says_when_the_cache_is_allocated(compiled, phase, capsys):
    assert main(["check", LAB, "--rows", "1", "--set", f"model.compile={compiled}"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "kv cache" in line]
    assert line.split()[-1] == phase


def lab_linear_widths() -> int:
    """Sum of inputs and outputs of the linear layers in one layer of the lab's model."""
    config = json.loads((ROOT / "src/omnithinker/lab/model/config.json").read_text())
    hidden, inside, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    keys = hidden // heads * config["num_key_value_heads"]
    return 2 * (hidden + hidden) + 2 * (hidden + keys) + 3 * (hidden + inside)


def test_weights_that_lose_updates_are_a_problem(check):
    rows = [{"prompt": "a", "answer": "x"}]
    code, report = check(rows, [{"prompt": "b", "answer": "x"}], {"short_answer": 1.0}, more='model.dtype = "bfloat16"')
    assert code == 2
    assert "bfloat16" in problems(report, "model")[0]


SHORT = [{"prompt": "a", "answer": "x"}], [{"prompt": "b", "answer": "x"}], {"short_answer": 1.0}


def test_a_tracker_that_is_not_installed_is_a_problem_and_the_rest_is_checked(check, monkeypatch):
    monkeypatch.setattr("omnithinker.io.trackers.find_spec", lambda name: None if name == "wandb" else name)
    code, report = check(*SHORT, more='trackers = ["tensorboard", "wandb"]')
    line = "trackers: wandb is not installed; run: pip install 'omnithinker[wandb]'"
    assert code == 2
    assert report["problems"] == [{"section": "trackers", "problem": line}]
    assert report["trackers"]["trackers"] == ["tensorboard", "wandb"]
    assert report["tokens"]["most_tokens"] > 0


def test_trackers_are_shown_where_a_recipe_names_some(check, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("omnithinker.io.trackers.find_spec", lambda name: name)
    code, report = check(*SHORT, more='trackers = ["tensorboard"]')
    assert (code, report["problems"]) == (0, [])
    recipe = str(tmp_path / "recipe.toml")
    assert main(["check", recipe]) == 0
    assert "✓ trackers  tensorboard\n" in capsys.readouterr().out
    assert main(["check", recipe, "--set", "trackers=[]"]) == 0
    assert "✓ trackers" not in capsys.readouterr().out
    monkeypatch.setattr("omnithinker.io.trackers.find_spec", lambda name: None)
    assert main(["check", recipe]) == 2
    shown = capsys.readouterr().out
    assert "✗ trackers  tensorboard\n  ✗ trackers: tensorboard is not installed; run: pip install" in shown


def test_the_first_prompt_is_shown_as_the_model_sees_it(check):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2 + 2?"},
    ]
    rows = [{"messages": messages, "answer": "4"}]
    _, report = check(rows, [{"prompt": "3 + 3?", "answer": "6"}], {"short_answer": 1.0})
    assert report["prompts"]["tasks"]["t"]["text"] == (
        "<|im_start|> Be brief.<|im_end|><|im_start|> 1 + 1?<|im_end|>"
        "<|im_start|>2<|im_end|><|im_start|> 2 + 2?<|im_end|><|im_start|>"
    )


def demonstrate(check, template, *rows, limit=512):
    more = f"[sampling]\nmax_new_tokens = {limit}\n"
    rows = [{"prompt": f"{i} + 3?", "answer": "6"} | row for i, row in enumerate(rows)]
    test = [{"prompt": "3 + 9?", "answer": "12"}]
    # The template follows the last reward.
    return check(rows, test, {"short_answer": f"1.0\ndemonstration = '{template}'"}, more=more)


def test_the_first_demonstration_is_shown_with_its_end_and_long_ones_are_counted(check):
    rows = {"answer": "7"}, {"answer": "seven times seven, " * 9}, {"answer": "8"}
    code, report = demonstrate(check, "It is {answer}.", *rows, limit=8)
    shown = report["prompts"]["tasks"]["t"]["demonstration"]
    assert shown["text"] == "It is 7.<|im_end|>"
    assert (shown["place"].rpartition("/")[2], code) == ("train.jsonl:1", 0)
    assert shown["tokens"] <= 8
    (note,) = report["prompts"]["notes"]
    assert "tasks.t: 1 of 3 demonstrations are longer than max_new_tokens = 8, so the model learns" in note
    assert "train.jsonl:2); raise max_new_tokens" in note
    _, report = demonstrate(check, "It is {answer}.", *rows)
    assert report["prompts"]["notes"] == []


def test_demonstrations_are_shown_as_text(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "1 + 1?", "answer": "2"}')
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[tasks.t]\ntrain = "rows.jsonl"\ntest = "rows.jsonl"\ndemonstration = "= {answer}"\n'
        "rewards.short_answer = 1.0\n"
    )
    main(["check", str(recipe)])
    assert "= 2<|im_end|>" in capsys.readouterr().out


def test_a_demonstration_that_cannot_be_rendered_is_a_problem(check):
    code, report = demonstrate(check, "{why}", {"why": "so"}, {})
    assert code == 2
    (problem,) = report["prompts"]["problems"]
    assert problem.startswith("tasks.t: 1 demonstrations cannot be rendered; first ")
    assert "train.jsonl:2: no field 'why', which the demonstration template uses" in problem


def test_a_task_without_rewards_is_noted(tmp_path, capsys):
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"prompt": "{name}?", "completion": "yes"}}')
    recipe = tmp_path / "r.toml"
    recipe.write_text('[tasks.t]\ntrain = "train.jsonl"\ntest = "test.jsonl"\ndemonstration = "{completion}"\n')
    assert main(["check", str(recipe), "--json", "--generate", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rewards"]["notes"] == ["tasks.t: has no reward, so it serves 'omnithinker sft' only"]
    assert report["samples"]["tasks"] == {}


def test_a_shown_prompt_cannot_control_the_terminal(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a\x1b[31m\u202eb\tc\nd" + "e" * 3000, "answer": "x"}))
    recipe = tmp_path / "r.toml"
    recipe.write_text('[tasks.t]\ntrain = "rows.jsonl"\ntest = "rows.jsonl"\nrewards.short_answer = 1.0\n')
    main(["check", str(recipe)])
    shown = capsys.readouterr().out
    assert "a\\x1b[31m\\u202eb\\tc\n  │ deee" in shown
    assert "more characters (--all shows them)" in shown
    assert "\x1b" not in shown
    main(["check", str(recipe), "--all"])
    assert "e" * 3000 in capsys.readouterr().out


def test_a_chat_template_that_refuses_a_row_names_it(check, tmp_path, model_folder):
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}x"
    (model_folder / "chat_template.jinja").write_text(template)
    rows = [{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "answer": "a"}]
    code, report = check(
        rows, [{"prompt": "p", "answer": "a"}], {"short_answer": 1.0}, more=f'model.path = "{model_folder}"'
    )
    assert code == 2
    (problem,) = problems(report, "data")
    assert "train.jsonl:1: the model's chat template refuses messages of roles system, user: no system" in problem


def test_probes_are_written_where_the_answer_is_looked_for(check):
    rows = [{"prompt": "a", "answer": "so\n#### 1,234"}, {"prompt": "b", "answer": "2"}]
    for places in ('"last_number"', '["boxed", "tags"]', '"after:####"', '"text"'):
        code, report = check(rows, [{"prompt": "c", "answer": "3"}], {"math_answer": f"{{ answer_from = {places} }}"})
        assert code == 0
        found = tallies(report, "math_answer")
        assert (found["gold answer"]["ones"], found["wrong answer"]["ones"]) == (3, 0)


def test_a_gold_answer_that_the_place_cannot_hold_is_a_problem(check):
    rows = [{"prompt": "a", "answer": "x+1"}]
    code, report = check(rows, [{"prompt": "c", "answer": "3"}], {"math_answer": '{ answer_from = "last_number" }'})
    assert code == 2
    assert any("gold answer: 1 of 2 did not score 1" in line for line in problems(report, "rewards"))


def test_an_expression_that_no_completion_is_known_for_is_a_note(check):
    pytest.importorskip("re2", reason="google-re2 is not installed (pip install 'omnithinker[regex]')")
    setting = "{ answer_from = 'regex:FINAL<<(.*)>>' }"
    code, report = check([{"prompt": "a", "answer": "1"}], [{"prompt": "b", "answer": "2"}], {"math_answer": setting})
    assert code == 0
    assert any("not tried: no completion is known" in note for note in report["rewards"]["notes"])


def test_a_bad_place_is_refused_when_the_recipe_is_read(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[tasks.t]\ndata = "lab:math"\nrewards.math_answer = { answer_from = "boxd" }\n')
    assert main(["check", str(recipe)]) == 2
    err = capsys.readouterr().err
    assert "recipe.toml:3" in err
    assert "no place 'boxd'; did you mean 'boxed'?" in err


SAMPLED = ("--rows", "3", "--generate", "2", "--set", "sandbox.cpu_seconds=0.5", "--set", "sampling.completions=4")


def test_samples_are_shown_with_their_verdicts(capsys):
    assert main(["check", LAB, *SAMPLED]) == 0
    out = capsys.readouterr().out
    assert "✓ samples  2 prompts per task" in out
    assert re.search(r"math, lab:math train row \d+  gold \d+", out)
    assert re.search(r"● \d\.\d\d  math_answer [01] · format [01]", out)
    assert re.search(r"\n  math +8 +\d", out)


def test_the_remedy_is_the_place_where_the_answer_is(capsys):
    # The lab's model writes <answer> tags, and the recipe looks for a box.
    places = ["--set", 'tasks.math.rewards.math_answer={answer_from="boxed"}', "--json"]
    only = ["--set", "tasks.math.rewards.format={weight=0}", "--set", "tasks.math.rewards.tags={weight=0}"]
    assert main(["check", LAB, *SAMPLED, *places, *only]) == 0
    samples = json.loads(capsys.readouterr().out)["samples"]
    task = samples["tasks"]["math"]
    assert (task["samples"], task["right"], task["rewards"]) == (8, 0, [0.0])
    assert [len(group["completions"]) for group in task["groups"]] == [4, 4]
    assert all(completion["answer"] is None for group in task["groups"] for completion in group["completions"])
    first, second = samples["notes"]
    assert first == "tasks.math: none of 8 samples earns any reward, so nothing can be learnt"
    best = max(task["alternatives"], key=lambda one: (one["varying"], one["right"]))
    assert best["right"] > 0
    assert second.startswith(
        f'tasks.math: set rewards.math_answer.answer_from = ["boxed", "{best["answer_from"][1]}"]: {best["right"]} of 8'
    )


def test_bad_numbers_of_prompts(capsys):
    assert main(["check", LAB, "--generate", "-1"]) == 2
    assert "--generate -1" in capsys.readouterr().err


def test_rows_that_cannot_be_judged_are_listed_wherever_they_are(check):
    def row(number, source):
        return {"prompt": f"p{number}", "tests": [source]}

    good = [row(number, f"x = inc({number})\nassert x == {number + 1}") for number in range(30)]
    bad = [row(30, "assert apply(lambda x: x, 1) == 1"), row(31, "class B(A):\n    pass\nassert B().f() == 1")]
    code, report = check([*good, *bad], [row(32, "x = inc(1)\nassert x == 2")], {"unit_tests": 1.0}, "--rows", "1")
    assert code == 0
    first, second = report["data"]["tasks"]["t"]["unjudged"]
    assert re.search(r"train\.jsonl:31: .* test 0, line 1: a function as an argument", first)
    assert re.search(r"train\.jsonl:32: .* test 0, line 1: a subclass of the program's class", second)
    assert report["data"]["tasks"]["t"]["train"]["rows"] == 30
    (note,) = [note for note in report["data"]["notes"] if "judged" in note]
    assert note.startswith("tasks.t: 2 rows cannot be judged and are left out (")

    code, report = check(good, bad, {"unit_tests": 1.0}, "--rows", "1")
    assert code == 2
    assert "tasks.t: no test row is left that can be judged" in problems(report, "data")
