"""The first prompt of every task, as the model sees it."""

from __future__ import annotations

from collections.abc import Mapping

from omnithinker.checks.data import TaskRows
from omnithinker.checks.report import Section
from omnithinker.policy.tokenizer import ChatTokenizer


def first_prompts(tasks: Mapping[str, TaskRows], tokenizer: ChatTokenizer) -> Section:
    """Show each task's first usable prompt, chat template and special tokens included."""
    first = {name: task.rows[0] for name, task in tasks.items() if task.rows}
    prompts = {
        name: {
            "place": row.place,
            "tokens": len(row.prompt.token_ids),
            "text": tokenizer.rendered(row.prompt.token_ids),
        }
        for name, row in first.items()
    }
    return Section("prompts", {"tasks": prompts})


def visible(text: str) -> str:
    """Return text that is safe in a terminal: line breaks stay, other invisible characters become escapes."""
    return "".join(
        character
        if character == "\n" or character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )
