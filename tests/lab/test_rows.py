"""Rows of the lab: form, splits, reproducibility, and scores of both solutions."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from omnithinker.errors import DataError
from omnithinker.judge.rubric import rubric_points
from omnithinker.lab import DOMAINS, KINDS, generate_items, generate_rows
from omnithinker.lab.items import split_of
from omnithinker.lab.words import ADJECTIVES, TOPICS, VERBS

ROWS = 160
ROWS_SHA256 = "1853de2284b79607f99d2e6f29a2c4b1b82c6d500c063e1e4fd5be2a413d04da"


def score(row, answer):
    """Score an answer independently of the rewards: 1, 0.5 or 0."""
    if "tests" in row:
        namespace: dict = {}
        exec(answer, namespace)
        solution = namespace[row["tests"]["fn_name"]]
        calls = zip(row["tests"]["inputs"], row["tests"]["outputs"], strict=True)
        return float(all(solution(*arguments) == output for arguments, output in calls))
    if "rubric" in row:
        ours, theirs = rubric_points(answer, row["rubric"]), rubric_points(row["reference"], row["rubric"])
        return 0.5 if ours == theirs else float(ours > theirs)
    return float(answer == row["answer"])


def test_rows_have_their_fixed_hash():
    """The shipped model was pre-trained on the distribution of these rows, so they must not change."""
    rows = [generate_rows(domain, split, 300) for domain in DOMAINS for split in ("train", "test")]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == ROWS_SHA256


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_are_well_formed(domain, split):
    rows = generate_rows(domain, split, ROWS)
    fields = {
        "math": {"answer"},
        "code": {"tests", "solution"},
        "qa": {"answer", "options"},
        "writing": {"reference", "rubric"},
    }[domain]
    for row in rows:
        assert set(row) == {"prompt", "kind"} | fields
        assert row["prompt"] == row["prompt"].lower()
    assert json.loads(json.dumps(rows)) == rows
    assert len({row["prompt"] for row in rows}) == ROWS
    assert {row["kind"] for row in rows} == set(KINDS[domain])


@pytest.mark.parametrize("domain", ["math", "code"])
def test_correct_solutions_score_one_and_incorrect_ones_zero(domain):
    for item in generate_items(domain, "train", ROWS):
        assert score(item.row, item.right.answer) == 1
        assert score(item.row, item.wrong.answer) == 0


def test_first_option_is_correct_only_by_chance():
    items = generate_items("qa", "train", 800)
    first_option_kinds = {"which", "young", "worker"}
    for item in items:
        assert score(item.row, item.right.answer) == 1
        if item.row["kind"] not in first_option_kinds:
            assert score(item.row, item.wrong.answer) == 0
    guesses = [score(item.row, item.wrong.answer) for item in items if item.row["kind"] in first_option_kinds]
    assert 0.12 < sum(guesses) / len(guesses) < 0.28


def test_good_texts_win_or_tie_and_flawed_texts_lose():
    outcomes = [score(item.row, item.right.answer) for item in generate_items("writing", "train", 400)]
    assert set(outcomes) == {0.5, 1.0}
    assert 0.7 < outcomes.count(1.0) / len(outcomes) < 0.9
    for item in generate_items("writing", "train", 400):
        assert score(item.row, item.wrong.answer) == 0


def test_options_contain_the_answer_once_and_are_in_the_prompt():
    for row in generate_rows("qa", "test", ROWS):
        assert row["options"].count(row["answer"]) == 1
        assert len(set(row["options"])) == len(row["options"]) == 5
        assert row["prompt"].endswith(f": {', '.join(row['options'])}?")


def test_code_items_have_five_call_tests():
    for row in generate_rows("code", "test", ROWS):
        assert len(row["tests"]["inputs"]) == len(row["tests"]["outputs"]) == 5
        assert row["prompt"].startswith(f"write {row['tests']['fn_name']}(")


@pytest.mark.parametrize("domain", DOMAINS)
def test_splits_are_disjoint_for_all_seeds(domain):
    test = {row["prompt"] for row in generate_rows(domain, "test", ROWS)}
    for seed in range(3):
        train = {row["prompt"] for row in generate_rows(domain, "train", 4 * ROWS, seed)}
        assert not train & test
    assert {split_of(prompt) for prompt in test} == {"test"}


def test_rows_depend_only_on_the_seed():
    rows = generate_rows("math", "train", 20, seed=3)
    assert rows == generate_rows("math", "train", 40, seed=3)[:20]
    assert rows != generate_rows("math", "train", 20, seed=4)


def test_error_messages():
    with pytest.raises(DataError, match="lab:maths: unknown domain; choose one of math, code, qa, writing"):
        generate_rows("maths", "train", 1)
    with pytest.raises(DataError, match="unknown split 'dev'; choose train or test"):
        generate_rows("math", "dev", 1)
    with pytest.raises(DataError, match=r"the test split has only \d+ rows, 100000 requested; request fewer"):
        generate_rows("writing", "test", 100_000)


def test_topics_share_no_words():
    """Topic words are disjoint, so a sentence from another topic is never on topic."""
    words = [word for nouns, places in TOPICS.values() for word in (*nouns, *(p.split()[-1] for p in places))]
    assert len(words) == len(set(words))
    assert not set(words) & {*ADJECTIVES, *VERBS}


def test_generating_rows_needs_no_torch():
    code = "import sys; from omnithinker.lab import generate_rows; generate_rows('qa', 'test', 3); "
    code += "print('torch' in sys.modules, 'transformers' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]
