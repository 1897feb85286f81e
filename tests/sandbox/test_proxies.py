"""Objects exchanged by judge and solver: plain data, attributes that the tests name, and one type of exception."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy
import pytest

from omnithinker.sandbox import AssertTests, SandboxSettings, Status, open_sandbox, slot


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=1, cpu_seconds=1)) as opened:
        yield opened


LOGGED = """
asked = []
class Any:
    def __getattr__(self, name):
        asked.append(name)
        return lambda *arguments: Any()
    def __len__(self): return 2
    def __iter__(self): return iter([1, 2])
def f(x): return Any()
def names(): return asked
"""


def test_proxies_forward_only_attributes_that_the_tests_name(sandbox):
    source = """
import copy, ctypes, json, operator
value = f(1)
for action in (float, operator.index, copy.copy, json.dumps, ctypes.c_int, memoryview, dict, set, reversed, abs):
    try: action(value)
    except Exception: pass
for prefix in ("__array_", "__index", "__len", "_as_", "file"):
    for suffix in ("interface__", "struct__", "__", "parameter_", "no"):
        getattr(value, prefix + suffix, None)
value.known
seen = names()
"""
    result = sandbox.run(LOGGED, AssertTests((source, "assert seen == ['known'], seen")))
    assert (result.status, result.detail) == (Status.PASSED, "")


POINTERS = """
target = b"x" * 64
interface = {"data": (id(target), False), "shape": (2,), "typestr": "<i8", "version": 3}
class Forged:
    __array_interface__ = interface
    def __array__(self, *a, **k): return interface
class Box: pass
def f(x): return Forged()
def g(x):
    box = Box()
    box.__dict__.update(__array_interface__=interface, _as_parameter_=id(target), kept=1, _kept=2)
    return box
"""


def test_no_pointer_of_the_program_reaches_numpy(monkeypatch):
    paths = sysconfig.get_paths() | {"purelib": str(Path(numpy.__file__).parents[1])}
    monkeypatch.setattr(slot.sysconfig, "get_paths", lambda: paths)
    attributes = "class Box: pass\nassert sorted(vars(g(1))) == ['_kept', 'kept']"
    sources = ("import numpy as np\nassert np.asarray(f(1)).dtype == object", attributes)
    with open_sandbox(SandboxSettings(slots=1, memory_mb=2048, preload=("numpy",))) as sandbox:
        result = sandbox.run(POINTERS, AssertTests(sources))
        assert (result.status, result.detail) == (Status.PASSED, "")
        equal = AssertTests(("import numpy as np\nassert np.array_equal(f(1), np.array([1, 2]))",))
        assert sandbox.run(POINTERS, equal).status is Status.FAILED
        assert sandbox.run("def f(x): return [1, 2]", equal).status is Status.PASSED


def test_judge_and_solver_have_different_address_spaces():
    sources = ("place = id(len)\nassert where() != place",)
    with open_sandbox(SandboxSettings(slots=1)) as sandbox:
        result = sandbox.run("def where(): return id(len)", AssertTests(sources))
        assert (result.status, result.detail) == (Status.PASSED, "")
        assert len(sandbox.processes) == 2


@pytest.mark.parametrize("raised", ["StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("base", ["", "class E(BaseException): pass", "class E({}): pass"])
def test_exceptions_do_not_end_iteration_in_the_tests(sandbox, raised, base):
    name = "E" if base else raised
    code = f"{base.format(raised)}\ndef f(x): raise {name}\nclass C:\n    def __init__(self): pass\n"
    code += "".join(f"    def __{method}__(self, *a): raise {name}\n" for method in ("len", "getitem", "iter", "str"))
    code += "make = C\n"
    sources = (
        "import itertools\nassert all(map(f, [1, 2]))",
        "assert all(itertools.starmap(f, [(1,)]))",
        "assert all(a == b for a, b in zip(map(f, [1]), [2]))",
        "for value in map(f, [1]):\n    pass",
        "assert not list(iter(lambda: f(1), 0))",
        "def g():\n    yield f(1)\nlist(g())",
        "list(make())",
        "list(reversed(make()))",
        "len(make())",
        "str(make())",
        "try:\n    f(1)\nexcept StopIteration:\n    pass",
    )
    result = sandbox.run(code, AssertTests(sources))
    assert [test.status for test in result.tests] == [Status.FAILED] * len(sources)


def test_tests_catch_the_exceptions_that_they_name(sandbox):
    code = """
class Empty(ValueError): pass
class Full(Empty): pass
def f(kind, *arguments): raise {"Empty": Empty, "Full": Full, "Key": KeyError}[kind](*arguments)
class C:
    def __init__(self): self.items = [1]
    def __getitem__(self, index): return self.items[index]
    def __iter__(self): return iter(self.items)
"""
    sources = (
        "try:\n    f('Empty', 'no')\n    assert False\nexcept Empty as error:\n    assert str(error) == 'no'",
        "try:\n    f('Full')\n    assert False\nexcept Empty:\n    pass",
        "try:\n    f('Full')\n    assert False\nexcept ValueError:\n    pass",
        "try:\n    f('Key', 1)\n    assert False\nexcept LookupError:\n    pass",
        "assert list(C()) == [1] and not hasattr(C(), 'other')",
        "import contextlib\nwith contextlib.suppress(IndexError):\n    C()[9]\n    raise AssertionError",
    )
    result = sandbox.run(code, AssertTests(sources))
    assert (result.status, result.detail) == (Status.PASSED, "")


SHADOW = """
class Box:
    def __init__(self, value): self.value = value
    @property
    def double(self): return 0
def make(x):
    box = Box(x)
    box.equals = box.double = lambda *a: True
    box.__dict__.update(double=9, equals=1, size=5, __class__=int)
    return box
def change(box):
    box.__dict__.update(equals=lambda other: True, double=9, value=5, size=5)
"""


@pytest.mark.parametrize("start", ["b = make(1)", "b = Box(1)\nchange(b)"])
def test_attributes_of_returned_objects_do_not_hide_methods_of_the_tests(sandbox, start):
    box = (
        "class Box:\n    size = 0\n    def __init__(self, value):\n        self.value = value\n"
        "    def equals(self, other):\n        return self.value == other\n"
        "    @property\n    def double(self):\n        return 2 * self.value\n"
    )
    tests = AssertTests((box, f"{start}\nassert not b.equals(7)", "assert b.double in (2, 10) and b.size == 5"))
    code = SHADOW.replace("    box.equals = box.double = lambda *a: True\n", "")
    result = sandbox.run(code, tests)
    assert (result.status, result.detail) == (Status.PASSED, "")
