"""Rows as chat messages: templates, lists of messages, and texts that are refused."""

from __future__ import annotations

import pytest

from omnithinker.errors import DataError
from omnithinker.tasks.messages import fill, render

USER, LATER = {"role": "user", "content": "2 + 2?"}, {"role": "user", "content": "and 3 + 3?"}
SYSTEM, REPLY = {"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "4"}


def rendered(row, template="{prompt}", system=None):
    return list(render(template, system, row, "rows.jsonl:3"))


def refusal(row, template="{prompt}", system=None):
    with pytest.raises(DataError) as caught:
        rendered(row, template, system)
    assert str(caught.value).startswith("rows.jsonl:3: ")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("rows.jsonl:3: ")


def test_a_text_is_a_user_message():
    assert rendered({"prompt": "2 + 2?"}) == [USER]
    assert rendered({"prompt": "2 + 2?"}, system="Be brief.") == [SYSTEM, USER]


@pytest.mark.parametrize("field", ["prompt", "messages"])
def test_a_list_of_messages_stays_one(field):
    chat = [SYSTEM, USER, REPLY, LATER]
    assert rendered({field: chat}) == chat
    assert rendered({field: chat}, "{" + field + "}") == chat


def test_a_missing_or_empty_prompt_leaves_the_messages():
    assert rendered({"prompt": None, "messages": [USER]}) == [USER]


def test_a_template_fills_the_last_message():
    row = {"prompt": [USER, REPLY, LATER], "hint": 7}
    last = {"role": "user", "content": "Now: and 3 + 3?\nHint: 7"}
    assert rendered(row, "Now: {prompt}\nHint: {hint}") == [USER, REPLY, last]


@pytest.mark.parametrize(
    ("system", "expected"),
    [(None, [SYSTEM, USER]), ("", [USER]), ("New.", [{"role": "system", "content": "New."}, USER])],
)
def test_the_tasks_system_message_replaces_the_rows(system, expected):
    assert rendered({"prompt": [SYSTEM, USER]}, system=system) == expected


def test_text_parts_are_joined_and_other_keys_left_out():
    parts = [{"type": "text", "text": "2 + "}, {"type": "text", "text": "2?"}]
    assert rendered({"prompt": [{"role": "user", "content": parts, "name": None, "id": 5}]}) == [USER]


def test_dotted_paths_reach_nested_fields():
    row = {"extra": {"question": "2 + 2?", "a.b": "x"}, "prompt": [SYSTEM, USER], "n.m": 5}
    assert fill("{extra.question} {prompt.0.content} {n.m}", row, "p") == "2 + 2? Be brief. 5"
    assert fill(r"\frac{1}{2} {{x}} {1.5} {extra.question}", {**row, "x": "y"}, "p") == r"\frac{1}{2} {y} {1.5} 2 + 2?"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{extra.missing}", "no field 'extra.missing', which the prompt template uses (fields of 'extra': question)"),
        ("{other}", "no field 'other', which the prompt template uses (fields: extra, prompt, flat)"),
        ("{prompt.5.content}", "no field 'prompt.5.content', which the prompt template uses ('prompt' is a list of 2)"),
        ("{flat.x}", "no field 'flat.x', which the prompt template uses ('flat' has no fields)"),
        ("{extra}", "field 'extra', which the prompt template uses, must be text or a number, not an object"),
        ("{prompt} {extra.question} {prompt.0}", "field 'prompt.0', which the prompt template uses, must be text"),
    ],
)
def test_a_wrong_path_says_what_is_there(template, message):
    assert refusal({"extra": {"question": "q"}, "prompt": [SYSTEM, USER], "flat": "t"}, template).startswith(message)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (
            [USER, REPLY],
            "field 'prompt' ends with a message of role 'assistant'; a prompt ends with the user's, so remove",
        ),
        ([SYSTEM], "field 'prompt' ends with a message of role 'system'"),
        ([{"role": "human", "content": "x"}], "field 'prompt.0.role': unknown role 'human'; known: system, developer"),
        ([{"role": "user", "content": None}], "field 'prompt.0.content' must be text, got null"),
        (
            [{"role": "user", "content": [{"type": "image", "url": "x"}]}],
            "field 'prompt.0.content.0': only parts of type 'text' can be used, not 'image'",
        ),
        ([{**REPLY, "tool_calls": [{}]}, USER], "field 'prompt.0.tool_calls': calls of tools are not supported"),
        ([{"role": "user", "content": " "}], "field 'prompt' is empty, so there is nothing to ask"),
        ([{"from": "human", "value": "x"}], "field 'prompt', which the prompt template uses, must be text or a number"),
        ([], "field 'prompt', which the prompt template uses, must be text or a number, not a list"),
        (["a"], "field 'prompt', which the prompt template uses, must be text or a number, not a list"),
    ],
)
def test_messages_that_cannot_be_asked_name_the_field(messages, message):
    assert refusal({"prompt": messages}).startswith(message)


def test_conversations_name_their_format():
    assert 'set format = "sharegpt"' in refusal({"c": [{"from": "human", "value": "x"}]}, "{c}")


def test_two_lists_of_messages_in_one_template_are_refused():
    row = {"prompt": [USER], "messages": [USER]}
    assert (
        refusal(row, "{prompt} {messages}")
        == "fields 'prompt' and 'messages' are lists of messages; use one in the prompt"
    )


PYTHON = [
    "[{'role': 'user', 'content': '2 + 2?'}]",
    "{'text': ['a', 'b'], 'label': ['A', 'B']}",
    "['Paris', 'Rome']",
    "[{'role': 'user', 'content': array(['x'], dtype=object)}]",
    "  {'a': None}\n",
    "[None, True]",
]
HARMLESS = [
    "[1, 2, 3]",
    '["Paris", "Rome"]',
    '{"role": "user"}',
    "[[1, 2], [3, 4]]",
    "Sort ['b', 'a'] and print {'x': 1}.",
    "{x : x > 0}",
    "[citation needed]",
    "[]",
    "{'",
]


@pytest.mark.parametrize(
    "text", [*PYTHON, '[{"role": "user", "content": "2 + 2?"}]', '[{"from": "human", "value": ""}]']
)
def test_the_text_of_a_python_list_is_refused(text):
    for row in ({"prompt": text}, {"prompt": [{"role": "user", "content": text}]}, {"prompt": "{}", "q": text}):
        template = "{prompt} {q}" if "q" in row else "{prompt}"
        assert "is the text of a" in refusal(row, template)
    assert refusal({"prompt": text}).startswith("field 'prompt' is the text of a")


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_with_brackets_are_asked(text):
    assert rendered({"prompt": text}) == [{"role": "user", "content": text}]
