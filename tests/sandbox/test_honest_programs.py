"""Operations that correct solutions commonly use work under confinement."""

from __future__ import annotations

import pytest

from omnithinker.sandbox import SandboxSettings, Status, open_sandbox, parse_tests, slot
from tests.builders import hostile

CALLS, STDIO = parse_tests(hostile.CALLS), parse_tests(hostile.STDIO)

FUNCTIONS = {
    "typing names": "def add(a: int, b: Optional[List[int]]) -> Dict[str, int]:\n    return a + b",
    "helpers": "def add(a, b):\n    return reduce(lambda x, y: x + y, Counter({'x': a, 'y': b}).values())",
    "names of star imports": "def add(a, b):\n    return sum(y - x for x, y in pairwise([-a, b])) + "
    "len(ascii_lowercase) - 26",
    "star imports": "from math import *\nfrom typing import *\ndef add(a, b):\n    return floor(a + b)",
    "dataclass": "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    "@dataclass(order=True)\nclass P:\n    x: int\n    y: list[int]\ndef add(a, b):\n    return P(a + b, []).x",
    "named tuple and enum": "from enum import Enum\nclass E(Enum):\n    A = 1\nP = namedtuple('P', 'x y')\n"
    "def add(a, b):\n    return sum(P(a, b)) * E.A.value",
    "int subclass": "from enum import IntEnum\nclass E(IntEnum):\n    A = 3\n    B = 7\n"
    "def add(a, b):\n    return E(a + b)",
    "deep recursion": "import sys\nsys.setrecursionlimit(10 ** 6)\n"
    "def down(n):\n    return 0 if n == 0 else 1 + down(n - 1)\n"
    "def add(a, b):\n    return down(20000) - 20000 + a + b",
    "threads": "import threading, queue\ndef add(a, b):\n    q = queue.Queue()\n"
    "    t = threading.Thread(target=lambda: q.put(a + b))\n    t.start()\n    t.join()\n    return q.get()",
    "pool of threads": "from concurrent.futures import ThreadPoolExecutor\ndef add(a, b):\n"
    "    with ThreadPoolExecutor(2) as p:\n        return sum(p.map(int, [a, b]))",
    "event loop": "import asyncio\nasync def late(x):\n    await asyncio.sleep(0.001)\n    return x\n"
    "async def main(a, b):\n    queue, loop = asyncio.Queue(), asyncio.get_running_loop()\n"
    "    await queue.put(await loop.run_in_executor(None, lambda: a))\n"
    "    return sum(await asyncio.wait_for(asyncio.gather(queue.get(), late(b)), 5))\n"
    "def add(a, b):\n    return asyncio.run(main(a, b))",
    "socket pair": "import socket\ndef add(a, b):\n    left, right = socket.socketpair()\n"
    "    left.sendall(bytes([a + 9, b + 9]))\n    return sum(right.recv(2)) - 18",
    "asyncio-free coroutine": "async def f(x):\n    return x\ndef add(a, b):\n    try: f(a + b).send(None)\n"
    "    except StopIteration as e: return e.value",
    "clocks and chance": "import time, random, datetime, uuid, secrets\ndef add(a, b):\n"
    "    time.sleep(0.001), random.random(), uuid.uuid4(), secrets.token_hex()\n"
    "    datetime.datetime.now(), time.perf_counter()\n    return a + b",
    "library of numbers": "import decimal, fractions, statistics, cmath, numbers\ndef add(a, b):\n"
    "    return int(fractions.Fraction(a) + decimal.Decimal(b).__int__())",
    "fraction": "from fractions import Fraction\ndef add(a, b):\n    return Fraction(a) + b",
    "decimal": "from decimal import Decimal\ndef add(a, b):\n    return Decimal(a) + b",
    "text": "import re, string, textwrap, difflib, json, csv, io, hashlib, base64, zlib, struct\ndef add(a, b):\n"
    "    return sum(map(int, re.findall(r'\\d+', json.dumps([a, b]))))",
    "output on the way": "def add(a, b):\n    print('debug', a, b)\n    return a + b",
    "silenced output": "import os, contextlib\ndef add(a, b):\n"
    "    with open(os.devnull, 'w') as f, contextlib.redirect_stdout(f): print('x')\n    return a + b",
    "main guard": "def add(a, b):\n    return a + b\nif __name__ == '__main__':\n    raise SystemExit(1)",
    "own ListNode": "class ListNode:\n    def __init__(self, x):\n        self.x = x\n"
    "def add(a, b):\n    return ListNode(a + b).x",
    "name of a helper": "def product(a, b):\n    return a * b\ndef add(a, b):\n    return product(a, 1) + b",
    "limits lowered": "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))\n"
    "def add(a, b):\n    return a + b",
    "file types": "import mimetypes\ndef add(a, b):\n"
    "    return a + b + (mimetypes.guess_type('a.txt')[0] != 'text/plain')",
    "time zone": "from zoneinfo import ZoneInfo\nimport datetime\ndef add(a, b):\n"
    "    datetime.datetime.now(ZoneInfo('UTC'))\n    return a + b",
}
PROGRAMS = {
    "readline": "import sys\ninput = sys.stdin.readline\nprint(sum(map(int, input().split())))",
    "buffer": "import sys\nsys.stdout.write(str(sum(map(int, sys.stdin.buffer.read().split()))))",
    "open(0)": "print(sum(map(int, open(0).read().split())))",
    "bytes out": "import os, sys\nos.write(1, str(sum(map(int, sys.stdin.read().split()))).encode())",
    "fileinput": "import fileinput\nprint(*(sum(map(int, line.split())) for line in fileinput.input()))",
    "main in a thread with a large stack": "import sys, threading\nsys.setrecursionlimit(10 ** 6)\n"
    "threading.stack_size(1 << 26)\ndef main():\n    print(sum(map(int, input().split())))\n"
    "threading.Thread(target=main).start()",
    "at exit": "import atexit, io, os, sys\nout = io.StringIO()\n"
    "atexit.register(lambda: os.write(1, out.getvalue().encode()))\n"
    "sys.stdout = out\nprint(sum(map(int, sys.stdin.read().split())))",
    "exit": "import sys\nprint(sum(map(int, input().split())))\nsys.exit()",
    "exit function": "print(sum(map(int, input().split())))\nexit(0)",
    "end of input": "import sys\ntotal = 0\nwhile True:\n    try: total += sum(map(int, input().split()))\n"
    "    except EOFError: break\nprint(total)",
    "output in another file object": "import os\nout = os.fdopen(1, 'w')\n"
    "out.write(str(sum(map(int, input().split()))))",
    "output in a second file object": "out = open(1, 'w')\nprint(sum(map(int, input().split())), file=out)",
    "own stream without flush": "import sys\nclass Out:\n    def write(self, text): sys.__stdout__.write(text)\n"
    "sys.stdout = Out()\nprint(sum(map(int, input().split())))",
    "own stream with a global in flush": "import os, sys\nclass Out:\n    text = ''\n"
    "    def write(self, text): self.text += text\n    def flush(self): os.write(1, self.text.encode())\n"
    "sys.stdout = Out()\nprint(sum(map(int, input().split())))",
    "first stream at exit": "import atexit, io, sys\nsys.stdout = io.StringIO()\n"
    "print(sum(map(int, sys.stdin.read().split())))\n"
    "atexit.register(lambda: sys.__stdout__.write(sys.stdout.getvalue()))",
    "output by a finalizer": "class Writer:\n    lines = []\n    def __del__(self):\n        print(*self.lines)\n"
    "writer = Writer()\nwriter.lines.append(sum(map(int, input().split())))",
    "closed output": "import sys\nprint(sum(map(int, input().split())))\nsys.stdout.close()",
    "thread stack of 512 MiB": "import sys, threading\nsys.setrecursionlimit(10 ** 6)\n"
    "threading.stack_size(1 << 29)\ndef down(n):\n    return 0 if n == 0 else 1 + down(n - 1)\ndef main():\n"
    "    print(sum(map(int, input().split())) + down(10 ** 4) - 10 ** 4)\n"
    "t = threading.Thread(target=main)\nt.start()\nt.join()",
    "main guard": "def main():\n    print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()",
}


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=1)) as opened:
        yield opened


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(sandbox, name):
    result = sandbox.run(FUNCTIONS[name], CALLS)
    assert (result.status, result.detail) == (Status.PASSED, "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(sandbox, name):
    result = sandbox.run(PROGRAMS[name], STDIO)
    assert (result.status, result.detail) == (Status.PASSED, "")


@pytest.mark.parametrize("value", ["list({'a', 'b', 'c', 'd', 'e', 'f'})", "random.random()"])
def test_set_order_and_random_numbers_are_equal_in_all_slots(value):
    code = f"def order():\n    return {value}"
    tests = parse_tests({"fn_name": "order", "inputs": [[]], "outputs": [None]})
    seen = set()
    for _ in range(3):
        with open_sandbox(SandboxSettings(slots=1)) as sandbox:
            seen |= {sandbox.run(code, tests).tests[0].got for _ in range(2)}
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("layer", "sabotage", "program"),
    [
        ("landlock", "confine.landlock_abi = lambda: 0", "read files"),
        ("seccomp", "confine.seccomp.supported = lambda: False", "sockets"),
    ],
)
def test_disabled_layer_is_detected(monkeypatch, tmp_path, layer, sabotage, program):
    """Without the layer, a hostile program reaches its target, so the programs do test confinement."""
    secret = tmp_path / "token"
    secret.write_text(hostile.SECRET)
    broken = f"from omnithinker.sandbox.inside import confine\n{sabotage}\ntemplate.main()"
    monkeypatch.setattr(slot, "_BOOTSTRAP", slot._BOOTSTRAP.replace("template.main()", broken))
    settings = hostile.settings().model_copy(update={"level": "weak"})
    with open_sandbox(settings) as sandbox:
        assert sandbox.level == "weak"
        assert not any(name.startswith(layer) for name in sandbox.layers)
        assert hostile.problems(sandbox, sandbox.processes, program, CALLS, str(secret)) != []
