"""API keys, which must not appear in any text that leaves the process."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

from omnithinker.errors import BadInput

MIN_CHARS = 4
"""Shorter keys are placeholders for endpoints that require none, and would be found in ordinary texts."""
SAFE_CHARS, SAFE_LETTERS = 8, 16
"""Letters and digits of a key by which it is recognized in any disguise: with a digit among them, and without."""
PART_CHARS = 12
"""Shortest part of a key that is hidden like the whole, in letters and digits."""
_ESCAPE = re.compile(
    r"%([0-9a-f]{2})|(?<!\\)\\++(?:(?:u00|x)([0-9a-f]{2})|[nrt])|&#x0{0,4}([0-9a-f]{2});?|&#0{0,4}([0-9]{2,3});?"
)
_NO_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Secret:
    """A key, or an empty text."""

    value: str = field(repr=False)
    """The key itself."""

    @classmethod
    def from_environment(cls, variable: str) -> Secret:
        """Read a key from an environment variable, without surrounding space; empty if the variable is not set.

        Raises:
            BadInput: if it cannot be sent in a header.
        """
        value = os.environ.get(variable, "").strip()
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise BadInput(
                f"the API key in the environment variable {variable} contains a space, a line break or a character "
                "that is not ASCII; set it to the key alone"
            )
        return cls(value)

    def hidden_in(self, text: str) -> str:
        """Return a text with ``***`` in place of the key, as it is or quoted.

        Nothing but ``***`` is left of a text that has the key, or half of it, in any other form: in another case, with
        other characters in between, escaped for URLs, JSON or HTML, in Base64 or hexadecimal.
        """
        if len(self.value) < MIN_CHARS:
            return text
        for form in {self.value, repr(self.value)[1:-1], json.dumps(self.value)[1:-1], quote(self.value, safe="")}:
            text = text.replace(form, "***")
        if len(self.value) < SAFE_CHARS:
            return text
        plain = _decoded(text)
        letters = _letters(plain)
        found = self.value.lower() in "".join(plain.split()) or any(form in letters for form in self._disguises)
        return "***" if found else text

    @cached_property
    def _disguises(self) -> list[str]:
        """Letters and digits by which the key is recognized."""
        key, letters = self.value.encode(), _letters(_decoded(self.value))
        # What a key has in Base64 whatever stands around it, behind a number of bytes that 3 divides or does not.
        base64s = [
            base64.b64encode(b"\0" * shift + key).decode()[(shift * 8 + 5) // 6 : (shift + len(key)) * 8 // 6]
            for shift in range(3)
        ]
        forms = [_letters(form.lower()) for form in [*base64s, key.hex()]]
        # A placeholder such as "not-needed" is found in ordinary texts.
        if len(letters) >= SAFE_LETTERS or (len(letters) >= SAFE_CHARS and any(map(str.isdigit, letters))):
            size = max(PART_CHARS, len(letters) // 2)
            forms += {letters[start : start + size] for start in range(max(1, len(letters) - size + 1))}
        return forms


def _decoded(text: str) -> str:
    """Return a text in lower case, with its escapes decoded up to three times."""
    text = text.lower()
    for _ in range(3):
        text, count = _ESCAPE.subn(_character, text)
        if not count:
            break
    return text.lower()


def _character(escape: re.Match[str]) -> str:
    url, backslash, html_hex, html = escape.groups()
    digits = url or backslash or html_hex
    return chr(int(digits, 16)) if digits else chr(int(html)) if html else ""


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text)
