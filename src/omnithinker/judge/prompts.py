"""What a chat judge is asked, and how its reply is read."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from omnithinker.errors import RecipeError
from omnithinker.judge.base import Verdict

Message = dict[str, str]

_VERDICTS = {"A": Verdict.A, "B": Verdict.B, "C": Verdict.TIE}
_MARKER = re.compile(r"\[\[([ABC])\]\]")
_SECTION = re.compile(r"^\[(system|user|again)\]\n", re.MULTILINE)
_FIELDS = ("request", "answer_a", "answer_b")


@dataclass(frozen=True, slots=True)
class Template:
    """A judge's rubric: system and user message with places, and what to say when a reply had no verdict."""

    system: str
    """System message; may be empty."""
    user: str
    """User message with ``{request}``, ``{answer_a}``, ``{answer_b}``, and ``{code}`` where wanted."""
    again: str
    """Follow-up to a reply without a verdict."""

    def messages(self, request: str, answer_a: str, answer_b: str) -> list[Message]:
        """The conversation that asks for a verdict; the three texts are made harmless first."""
        texts = {"request": request, "answer_a": answer_a, "answer_b": answer_b}
        fields = {name: neutralise(text) for name, text in texts.items()}
        # Nobody can write a code into a text that depends on that text.
        fields["code"] = hashlib.sha256("\0".join(fields.values()).encode()).hexdigest()[:12]
        messages = [{"role": "user", "content": _fill(self.user, fields)}]
        if self.system:
            messages.insert(0, {"role": "system", "content": _fill(self.system, fields)})
        return messages

    def ask_again(self, messages: list[Message], reply: str) -> list[Message]:
        """The conversation that asks once more, after a reply without a verdict."""
        answered = [{"role": "assistant", "content": reply}] if reply.strip() else []
        return [*messages, *answered, {"role": "user", "content": self.again}]


def load_template(path: str | None) -> Template:
    """Read a template file; None for the built-in one.

    Raises:
        RecipeError: the file is missing, or lacks the user section or a place for one of the texts.
    """
    if path is None:
        text = resources.files("omnithinker.judge").joinpath("templates/pairwise.txt").read_text("utf-8")
    else:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"judge template {path}: cannot be read: {error}") from error
    parts = _SECTION.split(text)
    sections = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    missing = [f"{{{name}}}" for name in _FIELDS if f"{{{name}}}" not in sections.get("user", "")]
    if missing:
        raise RecipeError(
            f"judge template {path}: the [user] section lacks {', '.join(missing)}; sections start with a line "
            "[system], [user] or [again]"
        )
    again = sections.get("again") or "Reply with the verdict alone: [[A]], [[B]] or [[C]]."
    return Template(sections.get("system", ""), sections["user"], again)


def _fill(template: str, fields: dict[str, str]) -> str:
    """One pass, so that braces inside the texts stay as they are."""
    return re.sub(r"\{(request|answer_a|answer_b|code)\}", lambda match: fields[match[1]], template)


_ROLE = re.compile(r"^(\s*)(#*\s*)(system|user|assistant|developer|human|judge)(\s*:)", re.IGNORECASE | re.MULTILINE)
_TOKENS = "im_|start|end|eot|bos|eos|sep|header|sys|user|assistant|answer|request|think|s>"
_CONTROL = (
    (re.compile(rf"<(?=[\s|/<]*(?:{_TOKENS}))", re.IGNORECASE), "‹"),
    (re.compile(r"\[(?=\s*/?\s*(?:INST|SYS))", re.IGNORECASE), "("),
    (re.compile(r"^(\s*)-{3,}", re.MULTILINE), r"\1- -"),
)


def neutralise(text: str) -> str:
    """Take the power out of what a text could say to its judge; readers see the same text.

    Verdict markers, chat-template tokens, role names at the start of a line and section markers are altered by one
    character each; invisible characters, which could hide them, are removed, and full-width forms are folded.
    """
    text = re.sub("[\u2028\u2029]", "\n", text)
    text = "".join(
        unicodedata.normalize("NFKC", character) if "\uff00" <= character <= "\uffef" else character
        for character in text
        if unicodedata.category(character) not in ("Cf", "Cc") or character in "\n\t"
    )
    text = re.sub(r"\[(?=\s*\[)", "[ ", text)
    text = re.sub(r"\](?=\s*\])", "] ", text)
    for pattern, replacement in _CONTROL:
        text = pattern.sub(replacement, text)
    return _ROLE.sub(r"\1\2\3 -", text)


def read_verdict(reply: str) -> Verdict | None:
    """The last verdict marker of a reply; None if it has none."""
    markers = _MARKER.findall(reply)
    return _VERDICTS[markers[-1]] if markers else None
