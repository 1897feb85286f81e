"""Completions in a terminal: safe, abridged, within the width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from omnithinker.io.escaping import visible
from omnithinker.ui.completions import example, one_line

HOSTILE = "\x1b[2J\x1b]0;title\x07 [red]markup[/red] \u202e\x9b31m \ud800 a\tb"


def rendered(text, width, *, whole=False, **fields):
    record = {
        "text": text,
        "reward": 0.1,
        "components": {"math_answer": 0.0, "judge": None},
        "causes": {"judge": "judge_down"},
        "correct": 0.0,
        "length": 12,
        "truncated": True,
    } | fields
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    console.print(example("t, f.jsonl:3", HOSTILE, "18", [record], console, whole=whole, hidden=2))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_model_output_cannot_control_the_terminal(width):
    out = rendered(HOSTILE * 20, width, answer="\x1b[31m")
    assert all(character == "\n" or character.isprintable() for character in out)
    assert "[red]markup[/red]" in out
    assert max(map(len, out.splitlines())) <= width


def test_escapes_are_visible():
    assert visible("a\x1bb\nc\u202e\ud800\U000e0001\u00a0d") == "a\\x1bb\nc\\u202e\\ud800\\U000e0001 d"
    assert one_line("a  b\n" + "c" * 50, 10) == "a b cccc" + "c…"
    assert one_line("a" * 50 + " 18", 6, end=True) == "…aa 18"


def test_the_verdict_is_one_line():
    out = rendered("text", 80, answer="17")
    assert "● 0.10  math_answer 0 · judge judge_down  answer 17  12 tokens, cut off" in out
    assert "gold 18" in out
    assert "no answer found" in rendered("text", 80, answer=None)
    assert "answer" not in rendered("text", 80, answer="long " * 10).replace("math_answer", "")
    assert "undefined" in rendered("text", 80, reward=None, correct=None)
    assert "greedy" in rendered("text", 80, label="greedy")
    assert "⋯ 2 more (--all shows them)" in out


def test_long_texts_keep_their_beginning_and_end():
    text = "\n".join(f"line {n}" for n in range(50))
    out = rendered(text, 80)
    assert "line 0" in out
    assert "line 49" in out
    assert "line 25" not in out
    assert "⋯ 44 more lines" in out
    assert "line 25" in rendered(text, 80, whole=True)
