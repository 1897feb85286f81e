"""Run untrusted programs and report which tests they pass.

:func:`open_sandbox` returns a :class:`Sandbox`; :func:`parse_tests` reads the tests of a data row. The verdict is
never computed in the process that runs the program, and expected values never enter that process.
"""

from omnithinker.config.sandbox import SandboxSettings
from omnithinker.sandbox.base import Sandbox
from omnithinker.sandbox.cases import AssertTests, Call, CallTests, StdioTests, Tests, UnittestTests
from omnithinker.sandbox.fork_server import ForkServer
from omnithinker.sandbox.parsing import parse_tests
from omnithinker.sandbox.refusal import refusal
from omnithinker.sandbox.result import Result, Status, TestResult, Trust

__all__ = [
    "AssertTests",
    "Call",
    "CallTests",
    "Result",
    "Sandbox",
    "SandboxSettings",
    "Status",
    "StdioTests",
    "TestResult",
    "Tests",
    "Trust",
    "UnittestTests",
    "open_sandbox",
    "parse_tests",
    "refusal",
]


def open_sandbox(settings: SandboxSettings) -> Sandbox:
    """Start a sandbox.

    Raises:
        SandboxUnavailable: if this machine lacks a layer that ``settings.level`` requires; names the layer.
        SandboxError: if the sandbox does not start.
    """
    match settings.backend:
        case "fork_server" | "bubblewrap":
            return ForkServer(settings)
        case "container" | "command":
            from omnithinker.sandbox.remote import RemoteSandbox

            return RemoteSandbox(settings)
        case "sandbox_fusion":
            from omnithinker.sandbox.fusion import FusionSandbox

            return FusionSandbox(settings)
