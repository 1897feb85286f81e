"""Distractors: uniqueness, the second opinion, resuming, and what is left out."""

import argparse
import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnithinker.cli import data
from omnithinker.data.distractors import NoDistractors, Question, write_distractors
from omnithinker.errors import BadInput, DataError
from tests.builders.fake_endpoint import FakeEndpoint, Reply

CAPITAL = Question("Capital of France?", ("Paris", "City of Light"))


def model(written: list[list[str]], correct: dict[str, Any] | None = None) -> Callable[[str, int], Any]:
    """A model that writes these lists one after the other, and finds these options correct."""
    script = list(written)

    async def ask(message: str, trial: int) -> str:
        if message.startswith("Here is a question with its correct answer, and"):
            numbered = re.findall(r"^(\d+)\. (.*)$", message, re.MULTILINE)
            return f"Thinking [1, 2] ... {[int(number) for number, text in numbered if text in (correct or {})]}"
        return json.dumps(script.pop(0), ensure_ascii=False)

    return ask


def write(ask: Callable[[str, int], Any], count: int, question: Question = CAPITAL) -> list[str]:
    return asyncio.run(write_distractors(question, ask, data.same_option, count))


def test_repetitions_and_answers_are_struck_out_and_replaced() -> None:
    ask = model([["Rome", "rome.", "PARIS", "city of light", " Bern "], ["Bern", "Oslo", "Bonn"]])
    assert write(ask, 4) == ["Rome", "Bern", "Oslo", "Bonn"]


def test_numbers_are_compared_by_value() -> None:
    ask = model([["1/2", "0.50", "0.25", "25%", "1.0", "1"]])
    assert write(ask, 2, Question("Half of 1?", ("0.5",))) == ["0.25", "25%"]


def test_options_that_are_also_correct_are_struck_out() -> None:
    ask = model([["Rome", "Paname", "Bern"], ["Paname", "Oslo"]], {"Paname": True})
    assert write(ask, 3) == ["Rome", "Bern", "Oslo"]


def test_too_few_options_are_a_failure_with_its_reason() -> None:
    with pytest.raises(NoDistractors, match="1 of 3 after 4 rounds"):
        write(model([["Rome"], ["Rome"], ["rome"], ["Rome."]]), 3)


def test_replies_that_cannot_be_read_are_asked_for_again() -> None:
    replies = iter(["I cannot.", '["Rome", "Bern"]', "none [x]", '["Rome", "Bern"]', "[7]", '["Rome", "Bern"]', "[]"])

    async def ask(message: str, trial: int) -> str:
        return next(replies)

    assert write(ask, 2) == ["Rome", "Bern"]


@pytest.mark.parametrize(
    ("reply", "options"),
    [
        ('["[0, 1]", "(0, 1]"]', ["[0, 1]", "(0, 1]"]),  # lists within texts
        ('["see [1]", "f([2])", ["x"], {"a": 1}, true, null, 2.5]', ["see [1]", "f([2])", "2.5"]),
        ('First ["draft"], then:\n```json\n["Rome", "Bern"]\n```', ["Rome", "Bern"]),
        ('["Rome", "Bern"] and [an open one', ["Rome", "Bern"]),
    ],
)
def test_the_last_list_that_is_no_part_of_another_has_the_options(reply: str, options: list[str]) -> None:
    replies = iter([reply, "[]"])

    async def ask(message: str, trial: int) -> str:
        return next(replies)

    assert write(ask, len(options)) == options


@pytest.mark.parametrize(
    "hostile",
    ["[" * 200_000, '["a' * 20_000, "[1," * 20_000, "[1," * 900 + "1," * 10**6, "[" + "9" * 5000 + "]", "[true]"],
)
def test_a_hostile_reply_is_asked_for_again(hostile: str) -> None:
    replies = iter([hostile, '["Rome"]', hostile, '["Bern"]', "[]"])

    async def ask(message: str, trial: int) -> str:
        return next(replies)

    assert write(ask, 1) == ["Bern"]


@pytest.fixture
def recipe(tmp_path: Path, server: FakeEndpoint) -> Path:
    rows = [{"question": f"Number {number}?", "answer": f"{number}"} for number in range(6)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(
        '[tasks.qa]\ntrain = "train.jsonl"\ntest = "train.jsonl"\nprompt = "{question}"\nrewards.short_answer = 1.0\n'
        '[tasks.lab]\ndata = "lab:qa"\nrewards.short_answer = 1.0\n'
        f'[judges.writer]\nkind = "chat"\nmodel = "m"\nbase_url = "{server.url}"\nprice_input = 10.0\n'
    )

    def answer(body: dict[str, Any]) -> Reply:
        message = body["messages"][0]["content"]
        if "numbered answers" in message:
            return Reply("[]")
        number = int(re.findall(r"Number (\d)", message)[0])
        options = ["same", "Same"] if number == 3 else [f"{number + step}" for step in range(5)]
        return Reply(json.dumps(options))

    server.answer = answer
    return tmp_path / "recipe.toml"


@pytest.fixture
def server() -> Any:
    with FakeEndpoint() as server:
        yield server


def run(recipe: Path, *extra: str) -> int:
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    output = str(recipe.with_name("out.jsonl"))
    words = ["distractors", str(recipe), "--task", "qa", "--output", output, "--count", "4", "--judge", "writer"]
    return data.run(parser.parse_args([*words, *extra]))


def test_command_writes_rows_lists_failures_and_replays_for_free(
    recipe: Path, server: FakeEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe) == 1
    written = [json.loads(line) for line in recipe.with_name("out.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in written] == ["0", "1", "2", "4", "5"]
    for row in written:
        number = int(row["answer"])
        assert sorted(row["options"]) == [str(number + step) for step in range(5)]
        assert row["options_text"] == "\n".join(f"- {option}" for option in row["options"])
    assert len({tuple(int(option) - int(row["answer"]) for option in row["options"]) for row in written}) > 1
    out, err = capsys.readouterr()
    # Ten calls for the five rows; the sixth found one option and then none, in four rounds.
    assert out == f"{recipe.with_name('out.jsonl')}: 5 of 6 rows; 15 calls, 1,650 tokens, cost 0.015\n"
    assert re.fullmatch(r"dropped: \S+train\.jsonl:4: 1 of 4 after 4 rounds, 0 rejected as correct\n", err)
    first = recipe.with_name("out.jsonl").read_text()
    assert run(recipe) == 1
    assert "; 0 calls, 15 from the cache, 0 tokens\n" in capsys.readouterr().out
    assert recipe.with_name("out.jsonl").read_text() == first
    assert len(server.requests) == 15


def test_a_run_after_a_failure_asks_only_for_what_is_missing(
    recipe: Path, server: FakeEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy = server.answer

    def half_down(body: dict[str, Any]) -> Reply:
        number = int(re.findall(r"Number (\d)", body["messages"][0]["content"])[0])
        return Reply(status=500) if number >= 4 else healthy(body)

    server.answer = half_down
    assert run(recipe, "--set", "judges.writer.retries=0", "--set", "judges.writer.breaker=1000") == 1
    out, err = capsys.readouterr()
    assert "3 of 6 rows" in out
    assert re.findall(r"train\.jsonl:(\d)", err) == ["4", "5", "6"]
    server.answer, before = healthy, len(server.requests)
    assert run(recipe) == 1
    out, err = capsys.readouterr()
    assert "5 of 6 rows; 4 calls, 11 from the cache" in out
    assert re.findall(r"train\.jsonl:(\d)", err) == ["4"]
    assert len(server.requests) == before + 4


def test_bad_requests_are_named(recipe: Path) -> None:
    with pytest.raises(DataError, match=r"train\.jsonl:1: no text field 'text' \(fields: question, answer\)"):
        run(recipe, "--question", "text")
    with pytest.raises(BadInput, match=r"judges\.default: not a chat judge"):
        run(recipe, "--judge", "default")
    with pytest.raises(BadInput, match=r"tasks\.lab: uses built-in data"):
        run(recipe, "--task", "lab")
    with pytest.raises(BadInput, match="no task 'x'"):
        run(recipe, "--task", "x")
