"""Settings of the sandbox."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from omnithinker.config.base import OPERATIONAL, Settings


class SandboxSettings(Settings):
    """Confinement and limits of model-written programs."""

    level: Literal["strong", "weak"] = "strong"
    """Required confinement. ``strong`` needs kernel confinement; ``weak`` accepts process limits alone."""
    slots: Annotated[int | None, OPERATIONAL] = Field(None, ge=1, le=1024)
    """Programs that run at once; by default one per core."""
    cpu_seconds: float = Field(2.0, gt=0)
    """CPU time of one program with all its tests, in seconds."""
    memory_mb: int = Field(512, ge=64)
    """Address space of one program, in MiB."""
    preload: tuple[str, ...] = ()
    """Modules that are imported once and shared by all programs, such as ``numpy``."""
    backend: Literal["fork_server", "bubblewrap", "container", "command", "sandbox_fusion"] = "fork_server"
    """Mechanism that runs programs; see the page on the sandbox."""
    target: str | None = None
    """Image of ``container``, command line of ``command``, or address of ``sandbox_fusion``."""
    in_process_tests: bool = False
    """Accept tests in ``unittest`` style. They run in the program's own process, which trusts the program: it can forge
    their verdict."""

    @model_validator(mode="after")
    def _needs_target(self) -> SandboxSettings:
        if (self.target is None) != (self.backend in ("fork_server", "bubblewrap")):
            problem = "needs a 'target'" if self.target is None else "takes no 'target'"
            raise ValueError(f"backend {self.backend!r} {problem}")
        return self
