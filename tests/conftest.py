"""A tiny random policy and fixed rewards that many tests use."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest
import torch

from omnithinker.config.registry import Registry
from omnithinker.policy.base import Policy
from tests.builders.judged import server
from tests.builders.policy import make_policy
from tests.builders.study import recipe

__all__ = ["model_folder", "policy", "recipe", "server"]  # fixtures

torch.set_num_threads(1)
# The default cache of compiled code is shared by all processes, and code made for other vector instructions
# (ATEN_CPU_CAPABILITY) fails.
_instructions = torch.backends.cpu.get_cpu_capability().replace(" ", "-").lower()
_cache = Path(tempfile.gettempdir(), f"omnithinker-tests-{getpass.getuser()}", f"inductor-{_instructions}")
os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_cache)  # importing torch has set it to the default
# A shell that starts the tests in the background makes them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A loaded machine is no reason to fail.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def register():
    """Function that adds a class to a registry for the duration of a test: ``register(REWARDS, name, target)``."""
    with contextlib.ExitStack() as stack:

        def add(registry: Registry, name: str, target: str) -> None:
            registry.register(name, target)
            stack.callback(registry.unregister, name)

        yield add


@pytest.fixture
def policy() -> Policy:
    return make_policy()


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    make_policy().save(folder)
    return folder
