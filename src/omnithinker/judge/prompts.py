"""Prompt templates of chat judges, and parsing of their verdicts."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from omnithinker.errors import RecipeError
from omnithinker.judge.base import Verdict
from omnithinker.judge.neutral import neutralize

Message = dict[str, str]

_VERDICTS = {"A": Verdict.A, "B": Verdict.B, "C": Verdict.TIE}
_MARKER = re.compile(r"\[\[([ABC])\]\]")
# What may follow the marker: punctuation that ends a sentence or closes emphasis, quotes or brackets, and end tokens.
_FINAL = re.compile(_MARKER.pattern + r"(?:[\s.!*_`'\"”’)}$]|</?[\w|]+>|<[|｜][^\s<>]+>|<e(?:os|nd_of_\w+)>)*+\Z")
_CLAUSE_ENDS = re.compile(r"[.!?:;,。！？：；，→⇒]")
_NO_CHOICE = re.compile(
    r"\b(?:or|and|nor|than)\W*$"  # lists markers
    r"|(?:\b(?:not|never|neither|cannot|refuse|instead)|n['’]t)\b(?:\W+\w+){0,2}\W*$"  # rejects this one
    r"|\w.*[\"“'‘`]$|[\w)\]]$",  # quotes it, or has it as an index or a link
    re.IGNORECASE,
)
"""Found in the clause before a marker that is no verdict."""
_CLAUSE_CHARS = 200
"""Characters before a marker in which its clause is looked for."""
_REASONING = re.compile(
    r"<(?P<tag>[^<>\n]{0,40}(?:think|thought|reason|analys|reflect|scratch|internal|monolog)[^<>]{0,80})>"
    r"|(?P<other>\[/?THINK\]|◁/?think▷)|<\|channel\|?>(?P<channel>\w*)",
    re.IGNORECASE,
)
_SECTION = re.compile(r"^\[(system|user|again)\]\n", re.MULTILINE)
_FIELDS = ("request", "answer_a", "answer_b")


@dataclass(frozen=True, slots=True)
class Template:
    """Prompt template of a judge."""

    system: str
    """System message; may be empty."""
    user: str
    """User message with the placeholders ``{request}``, ``{answer_a}``, ``{answer_b}`` and optionally ``{code}``."""
    again: str
    """User message after a reply without a verdict."""

    def messages(self, request: str, answer_a: str, answer_b: str) -> list[Message]:
        """Return the conversation that requests a verdict, with the three texts neutralized."""
        texts = {"request": request, "answer_a": answer_a, "answer_b": answer_b}
        fields = {name: neutralize(text) for name, text in texts.items()}
        # A text cannot contain a code that depends on the text itself.
        fields["code"] = hashlib.sha256("\0".join(fields.values()).encode()).hexdigest()[:12]
        messages = [{"role": "user", "content": _fill(self.user, fields)}]
        if self.system:
            messages.insert(0, {"role": "system", "content": _fill(self.system, fields)})
        return messages

    def retry_messages(self, messages: list[Message], reply: str) -> list[Message]:
        """Return the conversation that requests the verdict again after a reply without one."""
        answered = [{"role": "assistant", "content": reply}] if reply.strip() else []
        return [*messages, *answered, {"role": "user", "content": self.again}]


def load_template(path: str | None) -> Template:
    """Read a template file, or the built-in template if the path is None.

    Raises:
        RecipeError: if the file cannot be read, or lacks the user section or a placeholder.
    """
    if path is None:
        text = resources.files("omnithinker.judge").joinpath("templates/pairwise.txt").read_text("utf-8")
    else:
        try:
            text = Path(path).read_text("utf-8-sig")
        except (OSError, ValueError) as error:
            raise RecipeError(f"judge template {path}: cannot be read: {error}") from error
    parts = _SECTION.split(text)
    sections = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    missing = [f"{{{name}}}" for name in _FIELDS if f"{{{name}}}" not in sections.get("user", "")]
    if missing:
        raise RecipeError(
            f"judge template {path}: the [user] section lacks {', '.join(missing)}; a section starts with a line "
            "[system], [user] or [again]"
        )
    again = sections.get("again") or "Reply with the verdict alone: [[A]], [[B]] or [[C]]."
    return Template(sections.get("system", ""), sections["user"], again)


def _fill(template: str, fields: dict[str, str]) -> str:
    """Replace all placeholders in one pass, so that braces in the texts stay unchanged."""
    return re.sub(r"\{(request|answer_a|answer_b|code)\}", lambda match: fields[match[1]], template)


def read_verdict(reply: str) -> Verdict | None:
    """Return the verdict with which the last line of a reply ends; None if it ends with anything else.

    A verdict within reasoning (``<think>`` and its kin) does not count, also if the reasoning has no end, nor one that
    its own clause rejects or quotes, or whose line has another one.
    """
    answer = _after_reasoning(reply)
    # The search starts at the last marker, because an attempt at every one could take quadratic time.
    before, _, _ = answer.rpartition("[[")
    found = _FINAL.match(answer, len(before))
    line = before.rpartition("\n")[2]
    if found is None or not {found[1]}.issuperset(_MARKER.findall(line)):
        return None
    clause = _CLAUSE_ENDS.split(line[-_CLAUSE_CHARS:])[-1]
    return None if _NO_CHOICE.search(clause) else _VERDICTS[found[1]]


def _after_reasoning(reply: str) -> str:
    """Return a reply without its reasoning; empty if the reasoning has no end."""
    depth = end = 0
    for mark in _REASONING.finditer(reply):
        tag = (mark["tag"] or mark["other"] or "").lower()
        if mark["channel"] is not None:
            depth = int(mark["channel"].lower() != "final")
        elif re.search(r"/|(?<![a-z])end", tag):
            depth = max(0, depth - 1)
        else:
            depth += 1
        end = mark.end()
    return "" if depth else reply[end:]
