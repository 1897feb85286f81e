"""Recipes: defaults, errors that name file, line and key, overrides, round trip."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnithinker.config.file import changed_settings, load_recipe
from omnithinker.config.recipe import parse_order
from omnithinker.errors import RecipeError

GOOD = """
seed = 3
[training]
learning_rate = 1e-4
[tasks.math]
data = "lab:math"
rewards.math_answer = 1.0
rewards.format = { weight = 0.1 }
[tasks.own]
train = "own.jsonl"
test = "own-test.jsonl"
rewards.short_answer = 0.5
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text)
    return path


def test_good_recipe(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.training.learning_rate == 1e-4
    assert recipe.sampling.completions == 8
    assert recipe.tasks["math"].rewards["math_answer"].weight == 1.0
    assert recipe.tasks["math"].rewards["format"].weight == 0.1
    assert recipe.tasks["own"].train == str(tmp_path / "own.jsonl")
    assert recipe.output == "runs/my"


def test_written_recipe_loads_equal(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD))
    (tmp_path / "again.toml").write_text(recipe.to_toml())
    again = load_recipe(tmp_path / "again.toml")
    assert again == recipe
    assert again.digest() == recipe.digest()


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("learning_rate", "learning_rat", ":4: unknown key 'training.learning_rat'; did you mean 'learning_rate'?"),
        ("learning_rate", "lr", ":4: unknown key 'training.lr'; did you mean 'learning_rate'?"),
        ("[training]", "[trainig]", ":3: unknown key 'trainig'; did you mean 'training'?"),
        ("1e-4", '"fast"', ":4: training.learning_rate: input should be a valid number"),
        ("1e-4", "-1", ":4: training.learning_rate: input should be greater than 0"),
        (
            "{ weight = 0.1 }",
            "{ wight = 0.1 }",
            "unknown key 'tasks.math.rewards.format.wight'; did you mean 'weight'?",
        ),
        ("math_answer = 1.0", "math_answer = 1.5", ":7: tasks.math.rewards.math_answer: input should be less than or"),
        (
            "seed = 3",
            "seed = 3\nmodel.gradient_checkpointing = 'no way'",
            ":3: model.gradient_checkpointing: input should be a valid boolean, unable to interpret input, or "
            "input should be 'auto'",
        ),
        (
            "seed = 3",
            "seed = 3\njudges.j = { kind = 'chat', model = 'm', max_token = 9 }",
            ":3: unknown key 'judges.j.max_token'; did you mean 'max_tokens'?",
        ),
        (
            "seed = 3",
            "seed = 3\nschedules.adaptive.emasteps = 2",
            ":3: unknown key 'schedules.adaptive.emasteps'; did you mean 'ema_steps'?",
        ),
        ("seed = 3", "seed = 3\njudges.j = { kind = 'chat' }", ":3: judges.j.model: field required"),
        (
            "seed = 3",
            "seed = 3\njudges.j = { kind = 'rubric', budget = 1 }",
            "unknown key 'judges.j.budget'; known: kind",
        ),
        (
            "seed = 3",
            "seed = 3\njudges.j = { kind = 'chat', model = 'm', budget = 1 }",
            ":3: judges.j: 'budget' requires 'price_input' or 'price_output'",
        ),
        ('data = "lab:math"', "", "tasks.math: give either 'data'"),
        ("seed = 3", "seed = ", "not valid TOML"),
        ("seed = 3", "seed = 3\n[study]\norders = ['math>own>x']", "no task 'x'"),
        ("short_answer = 0.5", "pairwise_judge = { judge = 'gpt' }", "no judge named 'gpt'; known: default"),
    ],
)
def test_bad_recipe_names_the_place(tmp_path, find, replace, message):
    assert find in GOOD
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, GOOD.replace(find, replace)))
    assert message in str(caught.value)
    assert str(tmp_path / "my.toml") in str(caught.value) or "order" in str(caught.value)


def test_missing_file():
    with pytest.raises(RecipeError, match=r"nowhere\.toml: no such file, and no shipped recipe"):
        load_recipe("nowhere.toml")
    with pytest.raises(RecipeError, match=r"folder/nowhere\.toml: cannot be read: No such file"):
        load_recipe("folder/nowhere.toml")


def test_a_judges_files_are_relative_to_the_recipe(tmp_path):
    text = GOOD + '\n[judges.gpt]\nkind = "chat"\nmodel = "m"\ncache = "replies.sqlite"\n'
    judge = load_recipe(write(tmp_path, text)).judges["gpt"]
    assert judge.cache == str(tmp_path / "replies.sqlite")
    assert judge.template is None


def test_overrides(tmp_path):
    path = write(tmp_path, GOOD)
    recipe = load_recipe(path, ["training.epochs=3", "output=elsewhere", "tasks.math.rewards.format=0.2"])
    assert (recipe.training.epochs, recipe.output) == (3, "elsewhere")
    assert recipe.tasks["math"].rewards["format"].weight == 0.2
    with pytest.raises(RecipeError, match="did you mean 'epochs'"):
        load_recipe(path, ["training.epoch=3"])
    with pytest.raises(RecipeError, match="write it as key=value"):
        load_recipe(path, ["training.epochs"])
    with pytest.raises(RecipeError, match="'seed' is a value"):
        load_recipe(path, ["seed.x=1"])
    as_values = {"training.epochs": 3, "output": "elsewhere", "tasks.math.rewards.format": 0.2}
    assert load_recipe(path, as_values) == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rate=fast", "--set training.learning_rate=fast: training.learning_rate: input should be"),
        ("training.lr=1", "--set training.lr=1: unknown key 'training.lr'; did you mean 'learning_rate'?"),
        ("training.epoch=3", "--set training.epoch=3: unknown key 'training.epoch'"),
        ("tasks.math.rewards={}", "my.toml:5 with --set tasks.math.rewards={}: tasks.math: has no reward"),
        ("tasks.math.train=x.jsonl", "my.toml:5 with --set tasks.math.train=x.jsonl: tasks.math: 'data' and 'train'"),
        ("trainig.lr=1", "--set trainig.lr=1: unknown key 'trainig'; did you mean 'training'?"),
        ("tasks.new.data=lab:qa", "--set tasks.new.data=lab:qa: tasks.new: has no reward"),
        ("judges.x.model=m", "--set judges.x.model=m: judges.x: needs 'kind', which says what the other settings are"),
        ("seed=1\noutput=2", "--set seed=1\noutput=2: seed: input should be a valid integer"),
    ],
)
def test_an_error_in_an_override_is_not_blamed_on_the_file(override, message, tmp_path):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, GOOD), [override])
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(message)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("training.num_generations", "sampling.completions"),
        ("training.max_completion_length", "sampling.max_new_tokens"),
        ("sampling.temprature", "temperature"),
        ("training.temprature", "sampling.temperature"),
        ("training.beta", "tasks.NAME.beta"),
        ("training.kl_loss_coef", "tasks.NAME.beta"),
        ("training.per_device_train_batch_size", "microbatch_tokens"),
        ("training.output_dir", "output"),
        ("learning_rate", "training.learning_rate"),
        ("warmup.lr", "learning_rate"),
        ("model.lora_r", "model.lora.rank"),
        ("model.lora.r", "rank"),
        ("tasks.math.num_generations", "completions"),
        ("judges.default.max_new_token", "sampling.max_new_tokens"),
    ],
)
def test_a_setting_by_the_name_or_in_the_group_of_another_trainer(written, meant, tmp_path):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, GOOD + '\n[judges.default]\nkind = "rubric"\n'), [f"{written}=1"])
    assert str(caught.value).endswith(f"unknown key '{written}'; did you mean {meant!r}?")


def test_a_bare_weight_may_be_overridden_by_its_name(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD), ["tasks.math.rewards.format.weight=0.3"])
    assert recipe.tasks["math"].rewards["format"].weight == 0.3


def test_an_error_of_the_file_is_not_blamed_on_an_override(tmp_path):
    path = write(tmp_path, GOOD.replace("1e-4", "-1"))
    with pytest.raises(RecipeError, match=r"my\.toml:4: training\.learning_rate: input"):
        load_recipe(path, ["training.epochs=3", "seed=4"])


def test_presets_set_defaults_that_a_recipe_may_change(tmp_path):
    def training(text: str):
        return load_recipe(write(tmp_path, GOOD.replace("[training]", "[training]\n" + text))).training

    assert training("").loss_norm == "sequence"
    assert (training('preset = "dapo"').loss_norm, training('preset = "dapo"').clip_high) == ("token", 0.28)
    assert training('preset = "dapo"\nclip_high = 0.3').clip_high == 0.3
    assert training('preset = "dr_grpo"').scale_advantages is False


def test_changed_settings_are_named(tmp_path):
    path = write(tmp_path, GOOD)
    changes = changed_settings(load_recipe(path), load_recipe(path, ["training.epochs=2"]))
    assert changes == ["training.epochs was 1, is now 2"]


@pytest.mark.parametrize(
    "change",
    [
        "output='elsewhere'",
        "training.keep=9",
        "training.checkpoint_every=7",
        "training.max_undefined=0.5",
        "training.microbatch_tokens=99",
        "sandbox.slots=3",
        *(
            f"judges.default.{setting}"
            for setting in (
                "api_key_env='OTHER'",
                "concurrency=3",
                "requests_per_minute=9",
                "tokens_per_minute=9",
                "timeout_s=9",
                "deadline_s=9",
                "retries=1",
                "breaker=2",
                "cache='elsewhere.sqlite'",
                "price_input=2.5",
                "price_output=2.5",
                "budget=8",
                "run_deadline_s=60",
            )
        ),
    ],
)
def test_how_a_run_is_carried_out_is_no_change_of_what_it_computes(change, tmp_path):
    judged = [
        "judges.default.kind='chat'",
        "judges.default.model='m'",
        "judges.default.price_input=1",
        "judges.default.budget=2",
    ]
    path = write(tmp_path, GOOD)
    before, now = load_recipe(path, judged), load_recipe(path, [*judged, change])
    assert before != now
    assert changed_settings(before, now) == []
    assert before.digest() == now.digest()


@pytest.mark.parametrize("change", ["model='n'", "temperature=0", "max_answer_chars=9", "base_url='http://x'"])
def test_another_judge_is_another_experiment(change, tmp_path):
    judged = ["judges.default.kind='chat'", "judges.default.model='m'"]
    path = write(tmp_path, GOOD)
    before, now = load_recipe(path, judged), load_recipe(path, [*judged, f"judges.default.{change}"])
    assert [line.split()[0] for line in changed_settings(before, now)] == [f"judges.default.{change.split('=')[0]}"]
    assert before.digest() != now.digest()


def test_parse_order():
    assert parse_order("b, a", ["a", "b"]) == ["b", "a"]
    with pytest.raises(RecipeError, match="lacks b"):
        parse_order("a", ["a", "b"])
    with pytest.raises(RecipeError, match="names a task twice"):
        parse_order("a,b,a", ["a", "b"])
    with pytest.raises(RecipeError, match="did you mean 'math'"):
        parse_order("mth", ["math"])


def test_a_task_has_its_own_settings_where_it_says_so(tmp_path):
    own = "completions = 4\ntemperature = 0.7\nmax_new_tokens = 99\nclip_high = 0.4\n"
    text = GOOD.replace('data = "lab:math"\n', 'data = "lab:math"\n' + own)
    recipe = load_recipe(write(tmp_path, text))
    math, other = recipe.sampling_of("math"), recipe.sampling_of("own")
    assert (math.completions, math.temperature, math.max_new_tokens, math.top_k) == (4, 0.7, 99, 50)
    assert other == recipe.sampling
    assert recipe.clip_of("math") == (0.2, 0.4)
    assert recipe.clip_of("own") == (0.2, 0.2)
