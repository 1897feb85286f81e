"""Objects of the program's classes in source tests: operators work where tests use a value as an object, only there."""

from __future__ import annotations

import pytest

from omnithinker.sandbox import AssertTests, SandboxSettings, Status, open_sandbox
from omnithinker.sandbox.objects import object_labels


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(SandboxSettings(slots=1, cpu_seconds=1)) as opened:
        yield opened


CLASSES = """
import collections, contextlib, datetime, enum, functools
from dataclasses import dataclass

@functools.total_ordering
class Vector:
    def __init__(self, x, y): self.x, self.y = x, y
    def __eq__(self, o): return isinstance(o, Vector) and (self.x, self.y) == (o.x, o.y)
    def __lt__(self, o): return (self.x, self.y) < (o.x, o.y)
    def __hash__(self): return hash((self.x, self.y))
    def __add__(self, o): return Vector(self.x + o.x, self.y + o.y)
    def __radd__(self, o): return self if o == 0 else NotImplemented
    def __mul__(self, k): return Vector(self.x * k, self.y * k)
    __rmul__ = __mul__
    def __iadd__(self, o):
        self.x += o.x
        return self
    def __neg__(self): return Vector(-self.x, -self.y)
    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5
    def __repr__(self): return f"Vector({self.x}, {self.y})"
    def __format__(self, specification): return specification + "!"
    def __round__(self, digits=0): return Vector(round(self.x, digits), round(self.y, digits))
    def __int__(self): return self.x
    def __float__(self): return float(self.x)
    def __contains__(self, v): return v in (self.x, self.y)

class node:
    def __init__(self, v): self.v = v
    def __eq__(self, o): return isinstance(o, node) and self.v == o.v
    def __repr__(self): return f"node({self.v})"

class Stack:
    def __init__(self): self.items = []
    def push(self, v):
        self.items.append(v)
        return self
    def pop(self):
        if not self.items: raise Empty("no", 3)
        return self.items.pop()
    def __delitem__(self, i): del self.items[i]
    def __len__(self): return len(self.items)
    def __getitem__(self, i): return self.items[i]
    def __reversed__(self): return reversed(self.items)
    def __enter__(self): return self
    def __exit__(self, *error):
        self.error = error[0] and error[0].__name__
        return True
def make_stack(): return Stack()

class Empty(Exception):
    def __init__(self, text, code):
        super().__init__(text)
        self.code = code
class Color(enum.Enum):
    RED, BLUE = 1, 2
class Singleton:
    instance = None
    def __new__(cls):
        cls.instance = cls.instance or super().__new__(cls)
        return cls.instance
@dataclass(order=True)
class P:
    x: int
class Animal: pass
class Dog(Animal): pass
@contextlib.contextmanager
def opened(): yield Stack()
Point = collections.namedtuple("Point", "x y")
def point(x): return Point(x, 2)
def points(): return [Point(1, 2), Point(3, 4)]
def count(text): return collections.Counter(text)
def day(): return datetime.date(2020, 1, 2)
def queue(): return collections.deque([1, 2])
def upto(n): return range(n)
"""
TESTS = [
    "assert Vector(1, 2) + Vector(2, 3) == Vector(3, 5) != Vector(3, 6)",
    "assert Vector(1, 2) < Vector(2, 0) <= Vector(2, 0) and not Vector(1, 2) > Vector(1, 3)",
    "v = Vector(1, 2)\nassert v * 2 == Vector(2, 4) == 2 * v and v.x == 1",
    "v = w = Vector(1, 2)\nv += Vector(1, 1)\nassert v is w and v == Vector(2, 2) and v.x == 2",
    "assert -Vector(1, 2) == Vector(-1, -2) and abs(Vector(3, 4)) == 5 and round(Vector(1.26, 2), 1).x == 1.3",
    "assert repr(Vector(1, 2)) == f'{Vector(1, 2)!r}' == 'Vector(1, 2)' and f'{Vector(1, 2):x}' == 'x!'",
    "assert sorted([Vector(3, 1), Vector(1, 2)])[0] == min([Vector(3, 1), Vector(1, 2)]) == Vector(1, 2)",
    "assert len({Vector(1, 2), Vector(1, 2)}) == 1 and hash(Vector(1, 2)) == hash(Vector(1, 2))",
    "assert int(Vector(3, 4)) == 3 and float(Vector(3, 4)) == 3.0",
    "v = Vector(1, 2)\nassert 2 in v and 3 not in v and v.x == 1",
    "v = Vector(1, 2)\nassert sum([v, Vector(1, 1)]) == Vector(2, 3) and v.x == 1",
    "n = node(3)\nassert n.v == 3 and n == node(3) and repr(n) == 'node(3)'",
    "assert node(1) == node(1) and node(1) != node(2)",
    "s = make_stack()\ns.push(1).push(2)\ndel s[0]\nassert len(s) == 1 and s[0] == 2 and list(reversed(s)) == [2]",
    "s = make_stack()\nassert s.push(1) is s",
    "with make_stack() as s:\n    s.push(1)\nassert s.pop() == 1 and s.error is None",
    "with opened() as s:\n    s.push(1)\nassert s.pop() == 1",
    "try:\n    Stack().pop()\n    assert 0\nexcept Empty as error:\n    assert error.code == 3 and str(error) == 'no'",
    "assert Color(1) is Color.RED is Color['RED'] and Color.RED.value == 1 and Color.RED != Color.BLUE",
    "assert [color.name for color in Color] == ['RED', 'BLUE']",
    "assert Singleton() is Singleton() and Stack() is not Stack()",
    "assert P(1) < P(2) and P(1) == P(1) and repr(P(1)) == 'P(x=1)'",
    "assert issubclass(Dog, Animal) and isinstance(Dog(), Animal) and not issubclass(Animal, Dog)",
    "s = Stack()\ndel s.items\nassert not hasattr(s, 'items')",
    "p = point(1)\nx, y = p\nassert p.x == x == 1 and p == (1, 2) and p[1] == 2",
    "assert [p.x for p in points()] == [1, 3]",
    "c = count('aab')\nassert c.most_common(1) == [('a', 2)] and c == {'a': 2, 'b': 1}",
    "import datetime\nassert day() == datetime.date(2020, 1, 2) and day() - datetime.date(2020, 1, 1) == "
    "datetime.timedelta(days=1)",
    "from collections import deque\nassert queue() == deque([1, 2]) and upto(3) == range(3)",
]


@pytest.mark.parametrize("source", TESTS)
def test_correct_classes_pass(sandbox, source):
    result = sandbox.run(CLASSES, AssertTests((source,)))
    assert (result.status, result.detail) == (Status.PASSED, "")


AGREES = """
class Any:
    def __init__(self, *a, **k): pass
    def __bool__(self): return True
    def __getattr__(self, name): return Any()
    def __call__(self, *a, **k): return Any()
    def __iter__(self): return iter([Any()])
    def __enter__(self): return self
    def __exit__(self, *e): return True
    def __len__(self): return 1
for name in "eq lt le gt ge contains".split():
    setattr(Any, f"__{name}__", lambda *a: True)
for name in "getitem add radd mul rmul truediv rtruediv mod and or floordiv".split():
    setattr(Any, f"__{name}__", lambda *a: Any())
for name in "sub rsub abs neg round int hash".split():
    setattr(Any, f"__{name}__", lambda *a: 0)
Any.__ne__ = lambda *a: False
f = g = Stack = Sum = Any
"""


@pytest.mark.parametrize(
    "source",
    [
        "assert f(1) == 3",
        "assert f(1) <= 3",
        "assert abs(f(1) - 3) < 1e-6",
        "assert abs(3 - f(1)) < 1e-6",
        "assert abs(f(1) / 3 - 1) < 1e-6",
        "assert 3 in f(1)",
        "assert Sum(1, 2) == 3",
        "assert abs(Sum(1, 2) - 3) == 0",
        "assert f(1) == g(1)\nassert f(1) != g(2)",
        "with f(1) as value:\n    assert value == 3",
        "s = Stack()\ns.push(3)\nassert s.pop() == 3",
        "s = Stack()\ns.push(3)\nassert s[0] == 3",
        "s = Stack()\ns.push(3)\nassert [item for item in s] == [3]",
        "with Stack() as s:\n    s.push(3)\n    assert s.pop() == 3",
        "with Stack() as s:\n    assert False",
        "r = f(1)\nassert r == 3\nr = g(1)\nassert r.push(1) or True\nassert f(1) == 3",
        "try:\n    import numpy\nexcept ImportError:\n    pass\nr = f(1)\nassert r.shape\nassert abs(r - 3) < 1e-6",
    ],
)
def test_object_that_agrees_with_everything_fails(sandbox, source):
    result = sandbox.run(AGREES, AssertTests((source,)))
    assert result.status is Status.FAILED, result


def test_an_object_has_the_rights_of_the_expression_that_gives_it(sandbox):
    code = AGREES + "one = Any()\nStack = lambda: one\nAny.pop = lambda self: self\nf = lambda x: one\n"
    for source in (f"x = f(1)\ns = Stack()\ns.push(1)\nassert {value} == 3" for value in ("x", "f(1)", "s.pop()")):
        assert sandbox.run(code, AssertTests((source,))).status is Status.FAILED


@pytest.mark.parametrize(
    ("source", "objects"),
    [
        ("assert f(1).items() == []", set()),
        ("assert f(1).push(1)", {"f()"}),
        ("x = f(1)\nx = g(1)\nx.push(1)", {"g()"}),
        ("for x in f(1):\n    x.push(1)", {"f()[]"}),
        ("assert f(1).root.push(1).sort()", {"f()", ".root"}),
        ("with f(1):\n    pass", {"f()"}),
        ("assert isinstance(f(1), g)", {"g()"}),
        ("assert F(1).sort() is None and F(2) + 1 == 3", {"F()"}),
        ("x = [].push\nassert f(1)", set()),
        ("import numpy\nassert f(1).push(1)", set()),
    ],
)
def test_labels_of_objects(source, objects):
    assert object_labels((source,), {"f", "g", "F"})[0] == objects
