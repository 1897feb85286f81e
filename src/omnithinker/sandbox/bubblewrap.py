"""An outer jail for the fork servers: bubblewrap, started with an empty environment, one per slot.

It adds namespaces (network, processes, IPC, host name, users) and a file system that holds the interpreter alone.
Children still confine themselves inside it. The environment must be empty already when bubblewrap starts: its
own process stays visible inside.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

from omnithinker.errors import SandboxUnavailable

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")


def bubblewrap_command(preload: tuple[str, ...]) -> tuple[str, ...]:
    """Command line that an interpreter's is appended to.

    ``--die-with-parent`` is left out on purpose: it follows the thread that started it. The fork server inside ends
    when its owner's socket closes.

    Raises:
        SandboxUnavailable: bubblewrap is not installed.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable("sandbox.backend = 'bubblewrap' needs the program 'bwrap'; install bubblewrap")
    paths = sysconfig.get_paths()
    executable = Path(sys.executable)
    folders = [paths["stdlib"], str(Path(sys.base_prefix) / "lib"), str(Path(sys.base_prefix) / "bin")]
    # A virtual environment: the link to the interpreter and the file that says where its home is.
    folders += [str(executable.parent), str(Path(sys.prefix) / "pyvenv.cfg"), str(Path(__file__).parent)]
    folders += [paths["purelib"], paths["platlib"]] if preload else []
    binds = [part for path in dict.fromkeys([*_SYSTEM, *folders]) for part in ("--ro-bind-try", path, path)]
    # Before what is bound, some of which may lie in there.
    places = ["--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/"]
    return (program, "--unshare-all", "--cap-drop", "ALL", *places, *binds, "--")
