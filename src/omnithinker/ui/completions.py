"""Completions with their verdicts, for a terminal.

Model output is untrusted: control characters are shown as escapes, never sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from omnithinker.io.escaping import visible

Record = Mapping[str, Any]
"""A completion as :func:`omnithinker.io.runlog.completion_record` returns it, optionally with ``label`` and ``answer``
(the answer that was found; None for none)."""
PROMPT_LINES = 5
"""Lines shown of a prompt."""
TEXT_LINES = 7
"""Lines shown of a completion."""
_SHORT_ANSWER = 24
_MOST_CHARS = 50_000


def one_line(text: str, most: int, *, end: bool = False) -> str:
    """Return a text as one visible line of at most ``most`` characters, its beginning or its end."""
    line = " ".join(visible(text[-4 * most :] if end else text[: 4 * most]).split())
    if len(line) <= most:
        return line
    return "…" + line[1 - most :] if end else line[: most - 1] + "…"


def example(
    title: str,
    prompt: str,
    gold: str | None,
    completions: Sequence[Record],
    console: Console,
    *,
    whole: bool,
    hidden: int = 0,
) -> RenderableType:
    """Format a prompt with its completions.

    Args:
        title: Names the row.
        prompt: User message.
        gold: Gold answer; None if it says little.
        completions: Completions to show.
        console: Destination; its width wraps the texts.
        whole: True to show all lines of all texts.
        hidden: Number of further completions.
    """
    width = max(console.width - 2, 20)
    prompt_lines, text_lines = (None, None) if whole else (PROMPT_LINES, TEXT_LINES)
    heading = Text(title, "bold")
    if gold is not None:
        heading += Text("  gold ", "dim") + Text(one_line(gold, max(width - len(title) - 7, 20), end=True), "cyan")
    parts: list[RenderableType] = [heading, *_lines(prompt, console, width, prompt_lines, "│ ", "dim")]
    for completion in completions:
        parts += [_verdict(completion), *_lines(str(completion["text"]), console, width, text_lines, "  ", "")]
    if hidden:
        parts.append(Text(f"⋯ {hidden} more (--all shows them)", "dim italic"))
    return Padding(Group(*parts), (0, 0, 1, 2), expand=False)


def _verdict(completion: Record) -> Text:
    """One line: mark, reward, components, answer that was found, length."""
    reward, correct = completion["reward"], completion["correct"]
    style = "magenta" if correct is None else "green" if correct == 1 else "yellow" if reward else "red"
    line = Text("● ", style)
    if "label" in completion:
        line += Text(f"{completion['label']}  ", "bold")
    line += Text("undefined" if reward is None else f"{reward:.2f}", f"bold {style}")
    line += Text("  " + " · ".join(_component(name, completion) for name in completion["components"]))
    if "answer" in completion:
        answer = completion["answer"]
        if answer is None:
            line += Text("  no answer found", "yellow")
        elif len(answer) <= _SHORT_ANSWER:  # a longer one is the text below
            line += Text("  answer ", "dim") + Text(one_line(answer, _SHORT_ANSWER) or "(empty)", "cyan")
    length = f"  {completion['length']} tokens"
    return line + (Text(f"{length}, cut off", "yellow") if completion["truncated"] else Text(length, "dim"))


def _component(name: str, completion: Record) -> str:
    value = completion["components"][name]
    return f"{name} {completion['causes'].get(name, 'undefined') if value is None else f'{value:g}'}"


def _lines(text: str, console: Console, width: int, most: int | None, margin: str, style: str) -> list[Text]:
    """Wrap a text; of more than ``most`` lines only the first and the last ones are returned."""
    wrapped = Text(visible(text[:_MOST_CHARS]).strip("\n"), style, tab_size=4).wrap(console, width - len(margin))
    lines: Sequence[Text] = [line for line in wrapped if line.plain.strip()] or [Text("(empty)", "dim italic")]
    if most is not None and len(lines) > most:
        hidden = len(lines) - most + 1
        end = (most - 1) // 2
        lines = [*lines[: most - 1 - end], Text(f"⋯ {hidden} more lines", "dim italic"), *lines[len(lines) - end :]]
    return [Text(margin, "dim") + line for line in lines]
