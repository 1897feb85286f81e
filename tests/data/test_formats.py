"""Rows of other programs and data sets, as they are."""

from __future__ import annotations

import copy
import json

import pytest

from omnithinker.config.registry import FORMATS
from omnithinker.config.tasks import TaskSettings
from omnithinker.data.files import read_rows
from omnithinker.data.options import with_options_text
from omnithinker.data.sources import shaped
from omnithinker.errors import DataError
from omnithinker.rewards.components import check_row
from omnithinker.rewards.unit_tests import reference_solution
from omnithinker.sandbox import AssertTests, parse_tests
from omnithinker.tasks.messages import render
from tests.builders.real_data import real_file

ASK = [{"role": "user", "content": "What is better than ugly?"}]
REPLY = [{"role": "assistant", "content": "Beautiful."}]
OTHER = [{"role": "assistant", "content": "Acceptable."}]
OPTIONS = ["the control", "the variable"]


def task(name: str, reward: str = "format", **settings: object) -> TaskSettings:
    return TaskSettings.model_validate(
        {"train": "a", "test": "b", "format": name, "rewards": {reward: {"primary": True}}, **settings}
    )


CASES = [
    ("trl", {"prompt": "Sky?", "solution": "blue"}, {"prompt": "Sky?"}),
    ("trl", {"prompt": ASK, "completion": REPLY}, {"prompt": ASK, "reference": "Beautiful."}),
    ("trl", {"prompt": "Better is", "chosen": " x", "rejected": " y"}, {"prompt": "Better is", "reference": " x"}),
    ("trl", {"messages": ASK + REPLY}, {"prompt": ASK, "reference": "Beautiful."}),
    ("trl", {"chosen": ASK + REPLY, "rejected": ASK + OTHER}, {"prompt": ASK, "reference": "Beautiful."}),
    # As TRL's extract_prompt: the space belongs to the completions.
    ("trl", {"chosen": "It is blue.", "rejected": "It is green."}, {"prompt": "It is", "reference": " blue."}),
    ("verl", {"prompt": ASK, "reward_model": {"ground_truth": "72", "style": "rule"}}, {"prompt": ASK, "answer": "72"}),
    ("verl", {"prompt": ASK, "reward_model": {"ground_truth": ["27.0"]}}, {"answer": "27.0"}),
    ("verl", {"prompt": ASK, "reward_model": {"ground_truth": ["a", "b"]}}, {"answers": ["a", "b"]}),
    ("verl", {"prompt": ASK, "reward_model": {"ground_truth": '{"inputs": ["1"]}'}}, {"tests": '{"inputs": ["1"]}'}),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "a?"},
                {"from": "gpt", "value": "A"},
                {"from": "human", "value": "b?"},
                {"from": "gpt", "value": "B"},
            ]
        },
        {
            "prompt": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "a?"},
                {"role": "assistant", "content": "A"},
                {"role": "user", "content": "b?"},
            ],
            "reference": "B",
        },
    ),
    (
        "sharegpt",
        {"system": "Be kind.", "conversations": [{"from": "human", "value": "a?"}]},
        {"prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a?"}]},
    ),
    (
        "gsm8k",
        {"question": "How many?", "answer": "6 * 12 = <<6*12=72>>72 each\n1,000 in all\n#### 1,072"},
        {"prompt": "How many?", "answer": "1072", "solution": "6 * 12 = 72 each\n1,000 in all"},
    ),
    (
        "humaneval",
        {"prompt": "def f(x):\n", "test": "def check(candidate):\n    assert candidate(1) == 2", "entry_point": "f"},
        {"tests": {"test": "def check(candidate):\n    assert candidate(1) == 2", "entry_point": "f"}},
    ),
    (
        "mbpp",
        {"text": "Add one.", "code": "def f(x): return x + 1", "test_list": ["assert f(1) == 2", "assert f(2) == 3"]},
        {
            "prompt": "Add one.",
            "tests": ["assert f(1) == 2", "assert f(2) == 3"],
            "example": "assert f(1) == 2",
            "solution": "def f(x): return x + 1",
        },
    ),
    (
        "mbpp",
        {"prompt": "Root.", "test_imports": ["import math"], "test_list": ["assert f(4) == math.sqrt(4)"]},
        {"prompt": "Root.", "tests": ["import math\nassert f(4) == math.sqrt(4)"]},
    ),
    (
        "sciq",
        {
            "question": "Who?",
            "correct_answer": "a",
            "distractor1": "b",
            "distractor2": "c",
            "distractor3": "d",
            "support": "",
        },
        {"answer": "a", "options": ["a", "b", "c", "d"]},
    ),
    (
        "arc",
        {"question": "What?", "choices": {"text": OPTIONS, "label": ["1", "2"]}, "answerKey": "2"},
        {"question": "What?", "options": OPTIONS, "answer": "the variable"},
    ),
    (
        "arc",
        {"question": "What?", "A": "the control", "B": "the variable", "label": ["A", "B"], "answer": "A"},
        {"options": OPTIONS, "answer": "the control"},
    ),
    (
        "openbookqa",
        {
            "question_stem": "What?",
            "choices": [{"label": "A", "text": "the control"}, {"label": "B", "text": "the variable"}],
            "answerKey": "B",
        },
        {"question": "What?", "options": OPTIONS, "answer": "the variable"},
    ),
    ("mmlu", {"question": "What?", "choices": OPTIONS, "answer": 1}, {"options": OPTIONS, "answer": "the variable"}),
    (
        "mmlu_pro",
        {"question": "What?", "options": OPTIONS, "answer": "A"},
        {"options": OPTIONS, "answer": "the control"},
    ),
    (
        "llm_adapters",
        {
            "instruction": "Please choose the correct answer to the question: They work to\n\nAnswer1: eat. Answer2: "
            "help blood circulate.\n\nAnswer format: answer1/answer2",
            "input": "",
            "answer": "answer2",
        },
        {"question": "They work to", "options": ["eat.", "help blood circulate."], "answer": "help blood circulate."},
    ),
]


@pytest.mark.parametrize(("name", "row", "expected"), CASES)
def test_a_row_gets_the_fields_that_prompts_and_rewards_read(name, row, expected):
    before = copy.deepcopy(row)
    read = shaped(row, task(name), "rows:1")
    assert {field: read[field] for field in expected} == expected
    assert row == before
    settings = task(name)
    assert render(settings.prompt, None, with_options_text(read, 0), "rows:1")[-1]["role"] == "user"


def test_every_format_has_a_case():
    assert {name for name, _, _ in CASES} | {"commonsenseqa"} == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("trl", {"text": "Beautiful is better."}, "no field 'prompt' or 'messages' (fields: text); format 'trl' needs"),
        ("verl", {"question": "x"}, "no field 'prompt' (fields: question)"),
        ("verl", {"prompt": ASK, "reward_model": "72"}, "field 'reward_model' must be an object, got text"),
        ("sharegpt", {"prompt": "x"}, "no field 'conversations' (fields: prompt)"),
        (
            "sharegpt",
            {"conversations": [{"role": "user", "content": "x"}]},
            "field 'conversations.0' must be an object",
        ),
        ("sharegpt", {"conversations": [{"from": "alien", "value": "x"}]}, "unknown speaker 'alien'"),
        ("gsm8k", {"question": "x", "answer": "72"}, "field 'answer' does not end with '#### ' and a number"),
        ("gsm8k", {"answer": "#### 72"}, "no field 'question' (fields: answer)"),
        ("humaneval", {"prompt": "x", "test": "y"}, "no field 'entry_point'"),
        ("mbpp", {"text": "x", "test_list": ["assert f"], "test_imports": 5}, "field 'test_imports' must be a list"),
        (
            "mbpp",
            {"text": "x", "test_list": ["assert f"], "test_setup_code": 5},
            "field 'test_setup_code' must be text",
        ),
        ("mbpp", {"text": "x", "test_list": "assert f(1)"}, "field 'test_list' must be a list of texts, got text"),
        ("arc", {"question": "x", "choices": ["a"], "answerKey": "A"}, "field 'choices' must be an object with lists"),
        (
            "arc",
            {"question": "x", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "B"},
            "field 'answerKey': no option is labelled 'B' (labels: A)",
        ),
        ("mmlu", {"question": "x", "choices": ["a"], "answer": 3}, "no option is labelled 'D'"),
        ("llm_adapters", {"instruction": "Hi\n\nAnswer format: a", "answer": "answer1"}, "has no options like"),
    ],
)
def test_a_row_of_another_shape_names_place_field_and_format(name, row, message):
    with pytest.raises(DataError) as caught:
        shaped(row, task(name), "rows.jsonl:7")
    assert str(caught.value).startswith("rows.jsonl:7: ")
    assert str(caught.value).endswith(f"(format {name!r})")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(ValueError, match="no format 'gsmk8'; did you mean 'gsm8k'"):
        task("gsmk8")


def test_columns_are_read_after_the_format_and_win():
    row = {"prompt": ASK, "reward_model": {"ground_truth": "72"}, "extra_info": {"tests": ["assert f()"], "a.b": 1}}
    columns = {"tests": "extra_info.tests", "first": "prompt.0.content", "answer": "extra_info.a.b"}
    with pytest.raises(
        DataError, match=r"^rows:1: no field 'extra_info.a.b' \(fields of 'extra_info': tests, a.b\), wh"
    ):
        shaped(row, task("verl", columns=columns), "rows:1")
    read = shaped(row, task("verl", columns={**columns, "answer": "reward_model"}), "rows:1")
    assert (read["tests"], read["first"]) == (["assert f()"], "What is better than ugly?")
    assert read["answer"] == {"ground_truth": "72"}


@pytest.mark.parametrize(
    ("file", "name", "reward"),
    [
        ("verl_rows/gsm8k_train_sample200.parquet", "verl", "math_answer"),
        ("verl_rows/gsm8k_tools_kwargs_sample100.parquet", "verl", "math_answer"),
        ("verl_rows/deepscaler_train_sample200.parquet", "verl", "math_answer"),
        ("verl_rows/mtgrpo_math_train_sample200.parquet", "verl", "math_answer"),
        ("verl_rows/luffy_valid_2019.parquet", "verl", "math_answer"),
        ("verl_rows/ttcs_AMC23.parquet", "verl", "math_answer"),
        ("verl_rows/countdown_train_sample200.parquet", "verl", "format"),
        ("verl_rows/wildchat_if_train_sample200.parquet", "verl", "format"),
        ("code_r1_12k/test.parquet", "verl", "unit_tests"),
        ("gsm8k/test.jsonl.gz", "gsm8k", "math_answer"),
        ("gsm8k/train_sample300.jsonl.gz", "gsm8k", "math_answer"),
        ("humaneval/HumanEval.jsonl.gz", "humaneval", "unit_tests"),
        ("mmlu_pro/test_sample280.jsonl.gz", "mmlu_pro", "short_answer"),
        ("mmlu_pro/validation-00000-of-00001.parquet", "mmlu_pro", "short_answer"),
        ("small_qa/arc_challenge_structured_sample300.jsonl.gz", "arc", "short_answer"),
        ("small_qa/arc-challenge_instr_sample300.jsonl.gz", "llm_adapters", "short_answer"),
        ("small_qa/arc-easy_instr_sample300.jsonl.gz", "llm_adapters", "short_answer"),
        ("small_qa/openbookqa_instr_500.jsonl.gz", "llm_adapters", "short_answer"),
        *(
            (f"trl_zen/{kind}.jsonl", "trl", "format" if kind.endswith(("only", "supervision")) else "pairwise_judge")
            for kind in (
                "conversational_implicit_prompt_preference",
                "conversational_language_modeling",
                "conversational_preference",
                "conversational_prompt_completion",
                "conversational_prompt_only",
                "conversational_unpaired_preference",
                "standard_preference",
                "standard_prompt_completion",
                "standard_prompt_only",
                "standard_stepwise_supervision",
                "standard_unpaired_preference",
            )
        ),
    ],
)
def test_real_rows_are_read_as_they_are(file, name, reward):
    settings = task(name, reward)
    bad = []
    rows = read_rows(real_file(file))
    for place, raw in rows:
        try:
            row = with_options_text(shaped(raw, settings, place), 0)
            messages = render(settings.prompt, settings.system, row, place)
            check_row(settings.rewards, row, place)
        except DataError as error:
            bad.append(str(error))
            continue
        json.dumps(row)
        assert messages[-1]["role"] == "user"
        assert not messages[-1]["content"].startswith(("[{", "{'"))
    assert bad == []
    assert len(rows) >= 19


def test_real_rows_of_humaneval_have_tests_and_a_solution():
    settings = task("humaneval")
    for place, raw in read_rows(real_file("humaneval/HumanEval.jsonl.gz"))[:5]:
        row = shaped(raw, settings, place)
        tests = parse_tests(row["tests"])
        assert isinstance(tests, AssertTests)
        assert tests.entry_point == raw["entry_point"]
        compile(reference_solution(row)[1], "solution", "exec")
