"""Bubblewrap as an outer jail around each fork server.

It adds namespaces (network, processes, IPC, host name, users) and a file system that holds only the interpreter.
Children still confine themselves inside it. Bubblewrap must start with an empty environment, because its own process
is visible inside the jail.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

from omnithinker.errors import SandboxUnavailable

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")


def bubblewrap_command(preload: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line that precedes the interpreter's.

    It omits ``--die-with-parent``, which follows the thread that started the process rather than the process. The fork
    server inside exits when its owner's socket closes.

    Raises:
        SandboxUnavailable: if bubblewrap is not installed.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable(
            "sandbox.backend = 'bubblewrap' needs the program 'bwrap', which is not on PATH; install bubblewrap"
        )
    paths = sysconfig.get_paths()
    executable = Path(sys.executable)
    folders = [paths["stdlib"], str(Path(sys.base_prefix) / "lib"), str(Path(sys.base_prefix) / "bin")]
    # Of a virtual environment: the link to the interpreter, and the file that names its base installation.
    folders += [str(executable.parent), str(Path(sys.prefix) / "pyvenv.cfg"), str(Path(__file__).parent)]
    folders += [paths["purelib"], paths["platlib"]] if preload else []
    binds = [part for path in dict.fromkeys([*_SYSTEM, *folders]) for part in ("--ro-bind-try", path, path)]
    # Mounts come before the binds, some of which may lie inside them.
    mounts = ["--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/"]
    return (program, "--unshare-all", "--cap-drop", "ALL", *mounts, *binds, "--")
