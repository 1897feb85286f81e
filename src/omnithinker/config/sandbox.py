"""Settings of the sandbox."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from omnithinker.config.base import OPERATIONAL, Settings


class SandboxSettings(Settings):
    """Where model-written code runs."""

    level: Literal["strong", "weak"] = "strong"
    """Confinement that must be there; ``weak`` allows process limits alone."""
    slots: Annotated[int | None, OPERATIONAL] = Field(None, ge=1)
    """Programs run at once; by default one per core."""
    cpu_seconds: float = Field(2.0, gt=0)
    """CPU time for one program with all its tests."""
    memory_mb: int = Field(512, ge=64)
    """Address space of one program, MiB."""
    preload: tuple[str, ...] = ()
    """Modules imported once before programs are run, such as ``numpy``."""
    backend: Literal["fork_server", "bubblewrap", "container", "command", "sandbox_fusion"] = "fork_server"
    """What runs them; see the page on the sandbox."""
    target: str | None = None
    """Image of ``container``, command line of ``command``, address of ``sandbox_fusion``."""
    in_process_tests: bool = False
    """Accept tests of ``unittest`` style, whose verdict a program could forge."""

    @model_validator(mode="after")
    def _needs_target(self) -> SandboxSettings:
        if (self.target is None) != (self.backend in ("fork_server", "bubblewrap")):
            raise ValueError(f"backend {self.backend!r} {'needs a' if self.target is None else 'takes no'} 'target'")
        return self
