"""Hostile programs for the conformance suite, and a command that runs them all and prints the problems.

Every program answers ``add(1, 2)`` and ``add(3, 4)`` incorrectly and can pass only by forging its verdict. A program
that succeeds at a forbidden operation prints ``ABILITY``. The suite plants secrets that a program could print.
"""

from __future__ import annotations

import glob
import json
import os
import platform
import sys
from pathlib import Path

from omnithinker.sandbox import Sandbox, SandboxSettings, Tests, open_sandbox, parse_tests

SECRET = "planted-secret-7c1e"
MARKER = "omnithinker-hostile-marker"
CPU_SECONDS = 0.2
MEMORY_MB = 256

CALLS = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}
ASSERTS = ["result = add(1, 2)\nassert result == 3", "result = add(3, 4)\nassert not result != 7"]
STDIO = {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}

_WRONG = "\ndef add(a, b):\n    return -1\n"


def _attempt(*statements: str) -> str:
    """Return a program that tries statements and reports those that succeed. None does harm if it succeeds."""
    lines = ["import os, sys, ctypes, socket, subprocess, signal, resource, mmap, threading, time"]
    lines.append("libc = ctypes.CDLL(None, use_errno=True)")
    lines.append("def must(ok):\n    if ok: raise OSError")
    for number, statement in enumerate(statements):
        lines.append(f"try:\n    {statement}\n    print('ABILITY', {number}, flush=True)\nexcept BaseException: pass")
    return "\n".join(lines) + _WRONG


def _inside(body: str) -> str:
    """Return a program whose function has the attack as its body."""
    return "def add(a, b):\n" + "\n".join("    " + line for line in body.split("\n")) + "\n"


PROGRAMS: dict[str, str] = {
    "infinite loop": _inside("while True: pass"),
    "infinite loop at import": "while True: pass",
    "sleep": "import time\ntime.sleep(1000)" + _WRONG,
    "fork bomb": _attempt("os.fork()", "os.forkpty()", "libc.vfork() >= 0 or must(1)"),
    "daemon": _attempt("os.setsid()", "os.setpgid(0, 0)", "os.fork() or os.setsid()"),
    "clone by system call": _attempt("must(libc.syscall(56, 17, 0, 0, 0, 0) < 0)", "must(libc.syscall(435, 0, 0) < 0)"),
    "exec": _attempt("os.execv('/bin/sh', ['sh'])", "must(os.system('true') != 0)", "subprocess.run(['true'])"),
    "posix_spawn": _attempt("os.posix_spawn('/bin/true', ['true'], {})"),
    "multiprocessing": "import multiprocessing as m\ntry:\n    p = m.Process(target=print)\n    p.start()\n"
    "    print('ABILITY')\nexcept BaseException: pass" + _WRONG,
    "3 GB": "x = bytearray(3 << 30)\nprint('ABILITY')" + _WRONG,
    "3 GB in pieces": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "memory beside the heap": _attempt(
        "mmap.mmap(-1, 1 << 31)", "must(libc.memfd_create(b'x', 0) < 0)", "must(libc.shmget(0, 1 << 20, 0o1600) < 0)"
    ),
    "flood stdout": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "flood stdout, limit ignored": "import os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nwhile True:\n"
    "    try: os.write(1, b'x' * 65536)\n    except OSError: pass",
    "flood stderr": "import sys\nwhile True: sys.stderr.write('x' * 65536)",
    "flood report": "import os\nwhile True: os.write(4, b'{}\\n' * 20000)",
    "flood connection": "import os\nwhile True: os.write(5, b'\\0' * 65536)",
    "grow files": _attempt(*(f"must(libc.posix_fallocate({fd}, 0, 1 << 28) != 0)" for fd in (1, 2, 4))),
    "write files": _attempt(
        f"open('/tmp/{MARKER}', 'w')",
        f"os.open('/tmp/{MARKER}2', os.O_CREAT | os.O_WRONLY)",
        f"open('/dev/shm/{MARKER}', 'w')",
        f"open('{MARKER}', 'w')",
        f"open(os.path.expanduser('~/{MARKER}'), 'w')",
        f"os.mkdir('/tmp/{MARKER}')",
        f"os.symlink('/etc/passwd', '/tmp/{MARKER}')",
        f"os.link('/etc/hostname', '/tmp/{MARKER}')",
        f"os.mkfifo('/tmp/{MARKER}')",
    ),
    "change files": _attempt(
        "os.chmod('/tmp', 0o1777)",
        "os.utime('/tmp')",
        "os.chown('/tmp', 0, 0)",
        "os.truncate('/etc/hostname', os.stat('/etc/hostname').st_size)",
    ),
    "read files": "for p in ('/etc/shadow', '/etc/passwd', '/etc/hostname', '/root/.bashrc', SECRET_FILE):\n"
    "    try: print('ABILITY', open(p).read()[:200])\n    except OSError: pass" + _WRONG,
    "list folders": _attempt(*(f"os.listdir('{p}')" for p in ("/", "/home", "/tmp", "/proc", "/etc", "/sys", "/dev"))),
    "own package": "import os, sys\nfor p in sys.path + [os.path.dirname(os.__file__) + '/site-packages']:\n"
    "    try: print(*('ABILITY' for n in os.listdir(p) if open(p + '/' + n + '/__init__.py') and 'omni' in n))\n"
    "    except OSError: pass\ntry:\n    import omnithinker.lab\n    print('ABILITY')\nexcept ImportError: pass"
    + _WRONG,
    "environment": "import os\nprint(dict(os.environ), os.environb, os.getenv('PLANTED'))" + _WRONG,
    "environment in C": "import ctypes\nctypes.CDLL(None).getenv.restype = ctypes.c_char_p\n"
    "print(ctypes.CDLL(None).getenv(b'PLANTED'))\nf = ctypes.CDLL(None).getenv\nf.restype = ctypes.c_char_p\n"
    "print(f(b'PLANTED'))" + _WRONG,
    "environments in /proc": "import glob\nfor p in ['self', 'thread-self', *map(str, range(1, 9999))]:\n"
    "    for f in ('environ', 'cmdline', 'maps', 'mem'):\n"
    "        try: print('ABILITY', open(f'/proc/{p}/{f}', 'rb').read(99))\n        except OSError: pass" + _WRONG,
    "sockets": _attempt(
        "socket.create_connection(('127.0.0.1', 22), 1)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_INET6)",
        "socket.socket(16, socket.SOCK_RAW)",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    ),
    "signals": _attempt(
        "os.kill(os.getppid(), 0)",
        "os.kill(1, 0)",
        "os.kill(-1, 0)",
        "os.kill(0, 0)",
        "os.killpg(0, 0)",
        "signal.raise_signal(signal.SIGUSR2)",
        "signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)",
        "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)",
    ),
    "signals by descriptor": "import fcntl, os\ntry:\n    fcntl.fcntl(1, 8, os.getppid())\n    print('ABILITY')\n"
    "except OSError: pass" + _WRONG,
    "signals ignored": "import signal\nfor s in (signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU, signal.SIGINT):\n"
    "    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
    "stop": _attempt("os.kill(os.getpid(), signal.SIGSTOP)"),
    "trace": _attempt(
        "must(libc.ptrace(16, os.getppid(), 0, 0) < 0)", "must(libc.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0) < 0)"
    ),
    "kernel doors": _attempt(
        *(f"must(libc.syscall({n}, 0, 0, 0, 0, 0) < 0)" for n in (101, 155, 161, 165, 175, 248, 250, 272, 298, 308)),
        *(f"must(libc.syscall({n}, 0, 0, 0, 0, 0) < 0)" for n in (321, 323, 425, 428, 434, 437, 438, 447, 460, 999)),
    ),
    "namespaces": _attempt("must(libc.unshare(0x10000000) < 0)", "must(libc.unshare(0x20000) < 0)"),
    "limits raised": _attempt(
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
        "resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
        "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
    ),
    "death signal": _attempt("must(libc.prctl(1, 0) < 0)", "must(libc.prctl(4, 0) < 0)"),
    "exit at import": "import sys\nsys.exit(0)",
    "exit hard at import": "import os\nos._exit(0)",
    "exit in function": _inside("import sys\nsys.exit(0)"),
    "exit hard in function": _inside("import os\nos._exit(0)"),
    "exit in C": "import ctypes\nctypes.CDLL(None)._exit(0)",
    "raise SystemExit subclass": "class E(SystemExit, AssertionError): pass\n" + _inside("raise E(0)"),
    "equal to everything": "class E:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n"
    "    def __hash__(self): return 0\n" + _inside("return E()"),
    "int equal to everything": "class E(int):\n    def __eq__(self, o): return True\n"
    "    def __ne__(self, o): return False\n" + _inside("return E(99)"),
    "float equal to everything": "class E(float):\n    def __eq__(self, o): return True\n    __ne__ = lambda s, o: 0\n"
    "    def __sub__(self, o): return 0.0\n    __rsub__ = __sub__\n" + _inside("return E(99)"),
    "str equal to everything": "class E(str):\n    def __eq__(self, o): return True\n"
    "    def __ne__(self, o): return False\n" + _inside("return E('x')"),
    "class spoofed": "class E:\n    __class__ = int\n    def __eq__(self, o): return True\n"
    "    __ne__ = lambda s, o: False\n    __int__ = __index__ = lambda s: 9\n" + _inside("return E()"),
    "mock": "from unittest.mock import ANY, MagicMock\n" + _inside("return ANY"),
    "magic mock": "from unittest.mock import MagicMock\n" + _inside("return MagicMock()"),
    "not a number": _inside("return float('nan')"),
    "minus zero": _inside("return -0.0"),
    "infinity": _inside("return float('inf')"),
    "surrogates": _inside("return '\\ud800\\udfff'"),
    "surrogate error": _inside("raise ValueError('\\ud800')"),
    "huge integer": "import sys\nsys.set_int_max_str_digits(0)\n" + _inside("return 10 ** 100000"),
    "power": _inside("return 7 ** 10 ** 8"),
    "huge list": _inside("return list(range(10 ** 6))"),
    "huge text": _inside("return 'x' * 10 ** 7"),
    "deep list": _inside("x = []\nfor _ in range(100000): x = [x]\nreturn x"),
    "list in itself": _inside("x = []\nx.append(x)\nreturn x"),
    "endless generator": "def add(a, b):\n    while True: yield a",
    "endless iterator": "import itertools\n" + _inside("return itertools.count()"),
    "recursion": "import sys\nsys.setrecursionlimit(10 ** 9)\n" + _inside("return add(a, b)"),
    "recursion in C": "import sys\nsys.setrecursionlimit(10 ** 9)\nclass E:\n"
    "    def __repr__(self): return repr(self)\n" + _inside("return repr(E())"),
    "zip bomb": "import zlib\n" + _inside("return zlib.decompress(zlib.compress(bytes(1 << 28)) * 8)"),
    "threads": "import threading, time\ntry:\n    for _ in range(4000):\n"
    "        threading.Thread(target=time.sleep, args=(999,), daemon=True).start()\nexcept RuntimeError: pass" + _WRONG,
    "threads that stay": "import threading, time\nfor _ in range(3):\n"
    "    threading.Thread(target=time.sleep, args=(999,)).start()" + _WRONG,
    "segmentation fault": "import ctypes\nctypes.string_at(0)",
    "abort": "import os\nos.abort()",
    "reads input": "x = input()" + _WRONG,
    "pickle": "import pickle, os\nclass P:\n    def __reduce__(self): return (os._exit, (0,))\n"
    + _inside("return P()"),
    "pickle run": "import pickle, os\nclass P:\n    def __reduce__(self): return (os.system, ('id',))\n"
    "pickle.loads(pickle.dumps(P()))" + _WRONG,
    "modules replaced": "import sys, types\nfor n in ('json', 'os', 'time', 'builtins', 'operator', 'math'):\n"
    "    sys.modules[n] = types.ModuleType(n)" + _WRONG,
    "modules emptied": "import sys\nsys.modules.clear()" + _WRONG,
    "import hook": "import sys\nclass H:\n    def find_spec(self, *a): raise SystemExit(0)\n"
    "sys.meta_path.insert(0, H())" + _WRONG,
    "builtins patched": "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.len = lambda x: 2\n"
    "builtins.all = builtins.any = lambda *a: True\nbuiltins.type = lambda x: int\nbuiltins.AssertionError = KeyError"
    + _WRONG,
    "runner patched": "import sys\nfor n, m in list(sys.modules.items()):\n    if 'sandbox' in n:\n"
    "        for k in list(vars(m)):\n"
    "            if callable(vars(m)[k]):\n                setattr(m, k, lambda *a, **k: True)" + _WRONG,
    "frames walked": _inside(
        "import sys\nf = sys._getframe()\nwhile f:\n"
        "    for k, v in list(f.f_locals.items()) + list(f.f_globals.items()):\n"
        "        if k in ('expected', 'outputs', 'tests', 'sources'): print('ABILITY', v)\n"
        "        if hasattr(v, 'send'):\n            try: v.send(i=0, value=None, status='passed', wall=0.0)\n"
        "            except Exception: pass\n    f = f.f_back\nreturn -1"
    ),
    "objects searched": _inside(
        "import gc\nsought = bytes(c - 1 for c in b'bttfsu!sftvmu').decode()\nfor o in gc.get_objects():\n"
        "    try: t = repr(o) if isinstance(o, (dict, list, tuple)) else ''\n    except Exception: continue\n"
        "    if sought in t: print('ABILITY', t[:99])\nreturn -1"
    ),
    "report forged": "import os, json\nfor i in (0, 1):\n"
    "    line = {'i': i, 'status': 'passed', 'passed': True, 'error': None, 'wall': 0.0, 'value': None}\n"
    "    os.write(4, json.dumps(line).encode() + b'\\n')\n"
    'os.write(4, b\'{"stage":"done","calls":2,"invalid":""}\\n\')\nos._exit(0)',
    "report emptied": "import os\nos.ftruncate(4, 0)\nos.close(4)" + _WRONG,
    "report with holes": "import os\nos.lseek(4, 1 << 21, 0)" + _WRONG,
    "report deep": "import os\nos.write(4, b'[' * 100000 + b'\\n')" + _WRONG,
    "claims invalid": 'import os\nos.write(4, b\'{"stage":"done","calls":0,"invalid":"x"}\\n\')\nos._exit(0)',
    "says passed": "print('all tests passed', '{\"status\": \"passed\"}')\nimport sys\nprint('OK', file=sys.stderr)"
    + _WRONG,
    "descriptors closed": "import os\nos.closerange(0, 64)" + _WRONG,
    "descriptors used": "import os\nfor d in range(6, 300):\n    try:\n        os.fstat(d)\n"
    "        print('ABILITY', d)\n    except OSError: pass" + _WRONG,
    "at exit": 'import atexit, os\natexit.register(os.write, 4, b\'{"stage":"done"}\\n\')\n'
    + _inside("raise SystemExit"),
    "trace function": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)" + _WRONG,
    "error without text": "class E(Exception):\n    def __str__(self): raise SystemExit(0)\n" + _inside("raise E"),
    "error with much text": _inside("raise ValueError('x' * 10 ** 6)"),
    "hostile class name": _inside("raise type('AssertionError\\n{\"i\":0}', (Exception,), {})"),
    "list equal to everything": "class E(list):\n    def __eq__(self, o): return True\n    __ne__ = lambda s, o: 0\n"
    "    def __len__(self): return 1\n    def __iter__(self): return iter([3])\n" + _inside("return E()"),
    "dict equal to everything": "class E(dict):\n    def __eq__(self, o): return True\n    __ne__ = lambda s, o: 0\n"
    "    def items(self): raise SystemExit(0)\n" + _inside("return E()"),
    "class that changes": "class E:\n    n = 0\n    @property\n    def __class__(self):\n        E.n += 1\n"
    "        return (int, str, list, dict)[E.n % 4]\n    def __getattr__(self, k): raise SystemExit(0)\n"
    + _inside("return E()"),
    "audit hook": "import sys\ndef hook(event, arguments): raise SystemExit(0)\nsys.addaudithook(hook)" + _WRONG,
    "hooks for errors": "import sys, threading\nsys.excepthook = sys.unraisablehook = lambda *a: exit(0)\n"
    "threading.excepthook = sys.excepthook\nclass D:\n    def __del__(self): raise SystemExit(0)\nd = D()" + _WRONG,
    "collector's callbacks": "import gc\ndef f(*a): raise SystemExit(0)\ngc.callbacks.append(f)\ngc.set_threshold(1)"
    + _WRONG,
    "timers": "import signal\nsignal.signal(signal.SIGALRM, lambda *a: exit(0))\n"
    "signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)\nwhile True:\n    try: sum(range(100))\n"
    "    except BaseException: pass",
    "descriptors swapped": "import os\nos.dup2(1, 4)\nos.dup2(2, 1)" + _WRONG,
    "descriptors exhausted": "import os\nkept = []\ntry:\n    while True: kept.append(os.open('/dev/null', 0))\n"
    "except OSError: pass" + _WRONG,
    "scheduling": _attempt(
        "os.sched_setaffinity(os.getppid(), {0})",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "os.nice(1)",
        "time.clock_settime(time.CLOCK_REALTIME, time.time())",
    ),
    "places": _attempt("os.chroot('/')", "must(libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0) < 0)", "os.umount('/tmp')"),
    "devices": _attempt(
        f"os.mknod('/tmp/{MARKER}')",
        "open('/dev/kmsg').read(1)",
        "open('/dev/mem', 'rb')",
        "open('/dev/tty')",
        "os.openpty()",
    ),
    "attributes": _attempt("os.setxattr('/tmp', 'user.x', b'1')", "os.removexattr('/tmp', 'user.x')"),
    "modules left over": "import sys\nfor n in {'__main__', 'solution', 'tests'} - {__name__}:\n"
    "    m = sys.modules.get(n)\n    for k in vars(m) if m else ():\n"
    "        if not k.startswith('__'): print('ABILITY', n, k)" + _WRONG,
    "source nested deep": "x = " + "(" * 5000 + ")" * 5000 + _WRONG,
    "source of signs": "x = " + "-" * 200000 + "1" + _WRONG,
    "source with a null": "x = 1\0" + _WRONG,
    "source with surrogates": "x = '\ud800'" + _WRONG,
    "source in a strange encoding": "# -*- coding: no-such-encoding -*-\nimport os\nos._exit(0)",
    "source that is long": "x = [" + "'y', " * 400000 + "]" + _WRONG,
    "hash attack": "class K:\n    def __hash__(self): return 1\n    def __eq__(self, o): return False\n"
    + _inside("return len({K() for _ in range(30000)})"),
}


if platform.machine() != "x86_64":  # these two use system call numbers of that architecture
    del PROGRAMS["clone by system call"], PROGRAMS["kernel doors"]


def prepared(code: str, secret_file: str) -> str:
    """Insert the path of the planted file into a program."""
    return code.replace("SECRET_FILE", repr(secret_file))


def children_of(processes: list[int]) -> list[int]:
    """Return the ids of running processes whose parent is in ``processes``."""
    children = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = Path(path).read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) in processes and fields[0] != "Z":
            children.append(int(path.split("/")[2]))
    return children


def planted_files() -> list[str]:
    """Return the files that programs have left."""
    folders = ("/tmp", "/dev/shm", "/", os.path.expanduser("~"), os.getcwd())
    return [path for folder in folders for path in glob.glob(f"{folder}/{MARKER}*")]


def problems(sandbox: Sandbox, servers: list[int], name: str, tests: Tests, secret_file: str) -> list[str]:
    """Run a program and return the problems; empty if it is contained.

    Args:
        sandbox: sandbox under test.
        servers: process ids of the sandbox's fork servers.
        name: name of the program.
        tests: tests that the program must not pass.
        secret_file: file that the program must not read.
    """
    result = sandbox.run(prepared(PROGRAMS[name], secret_file), tests, stop_early=True)
    text = repr(result)
    detected = [word for word in (SECRET, "ABILITY") if word in text]
    if result.status in ("passed", "sandbox_error", "invalid_task") or result.passed:
        detected.append(f"status {result.status}, {result.passed} passed")
    if result.wall_s > 2 * (3 * CPU_SECONDS + 2) + 3:
        detected.append(f"took {result.wall_s} s")
    if result.peak_rss_mb > MEMORY_MB:
        detected.append(f"used {result.peak_rss_mb} MiB")
    if remaining := children_of(servers):
        detected.append(f"left processes {remaining}")
    if files := planted_files():
        detected.append(f"left files {files}")
    return [f"{name}: {problem} ({result.status}: {result.detail}; {result.stdout[:200]})" for problem in detected]


def settings() -> SandboxSettings:
    """Return settings with tight limits, which keep the suite fast."""
    return SandboxSettings(slots=1, cpu_seconds=CPU_SECONDS, memory_mb=MEMORY_MB)


if __name__ == "__main__":
    os.environ["PLANTED"] = SECRET
    with open_sandbox(settings()) as opened:
        report = [
            problem
            for tests in (CALLS, ASSERTS, STDIO)
            for name in PROGRAMS
            for problem in problems(opened, opened.processes, name, parse_tests(tests), sys.argv[1])
        ]
    print(json.dumps({"uid": os.getuid(), "programs": len(PROGRAMS), "problems": report}))
