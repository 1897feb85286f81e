"""The console of all commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from omnithinker.io.escaping import single_line, visible


def say(text: str) -> None:
    """Print a message of one line to standard error."""
    print(single_line(text), file=sys.stderr, flush=True)


class SafeConsole(Console):
    """Console on which only rich's own styles are control sequences; those in texts from outside become escapes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render an object as segments of visible text."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=visible(segment.text))
