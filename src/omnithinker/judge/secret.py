"""API keys, which must not appear in any text that leaves the process."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from urllib.parse import quote

from omnithinker.errors import BadInput

MIN_CHARS = 4
"""Shorter keys are placeholders for endpoints that require none, and would be found in ordinary texts."""


@dataclass(frozen=True, slots=True)
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
        """Return a text with the key replaced by ``***``, also in its quoted forms."""
        if len(self.value) < MIN_CHARS:
            return text
        for form in {self.value, repr(self.value)[1:-1], json.dumps(self.value)[1:-1], quote(self.value, safe="")}:
            text = text.replace(form, "***")
        return text
