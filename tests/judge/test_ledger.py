"""Accounts of judges: they add up, survive a crash, and belong to one run."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omnithinker.errors import DataError, DiskError
from omnithinker.io.step_metrics import JudgeMetrics
from omnithinker.judge.cache import ReplyCache
from omnithinker.judge.ledger import Ledger
from omnithinker.judge.replies import Reply

CALL = {"calls": 1, "prompt_tokens": 100, "completion_tokens": 10, "cost": 0.25, "seconds": 2.0}


def test_changes_add_up_by_judge() -> None:
    ledger = Ledger()
    one, two = ledger.account("one", "m"), ledger.account("two", "n")
    for _ in range(3):
        one.add(**CALL)
    two.add(cached=1)
    two.add(failures={"judge_down": 1})
    two.add(failures={"judge_down": 1, "judge_timeout": 1}, seconds=1.5)
    assert one.usage == JudgeMetrics(calls=3, prompt_tokens=300, completion_tokens=30, cost=0.75, seconds=6.0)
    metrics = ledger.metrics()
    assert metrics == {
        "one": JudgeMetrics(calls=3, prompt_tokens=300, completion_tokens=30, cost=0.75, seconds=6.0),
        "two": JudgeMetrics(cached=1, seconds=1.5, failures={"judge_down": 2, "judge_timeout": 1}),
    }
    assert ledger.record()["two"]["model"] == "n"
    assert json.loads(json.dumps(ledger.record()))["two"]["failures"] == {"judge_down": 2, "judge_timeout": 1}


def test_a_run_goes_on_from_what_it_had_used(tmp_path: Path) -> None:
    file = tmp_path / "judges.jsonl"
    first = Ledger()
    with first.of_run(file):
        first.account("one", "m").add(**CALL)
        first.account("one", "m").add(failures={"judge_down": 1})
        # On disk at once: nothing depends on how the run ends.
        assert len(file.read_text().splitlines()) == 2
        with file.open("a") as stream:
            stream.write('{"judge": "one", "cal')  # a crash in the middle of a line
    second = Ledger()
    account = second.account("one", "m")
    with second.of_run(file):
        account.add(**CALL)
        assert (account.usage.calls, account.usage.cost, account.usage.failures["judge_down"]) == (2, 0.5, 1)
    third = Ledger()
    with third.of_run(file):
        assert third.usage("one") == JudgeMetrics(
            calls=2, prompt_tokens=200, completion_tokens=20, cost=0.5, seconds=4.0, failures={"judge_down": 1}
        )
        assert len(file.read_text().splitlines()) == 1


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_costs_the_change_alone(tmp_path: Path) -> None:
    file = tmp_path / "judges.jsonl"
    ledger = Ledger()
    account = ledger.account("one", "m")
    with ledger.of_run(file):
        account.add(**CALL)
        whole = file.read_bytes()
        # Ten bytes of the next line fit.
        with largest_file(len(whole) + 10), pytest.raises(DiskError, match="File too large; make space") as caught:
            account.add(**CALL)
        assert str(caught.value).startswith(f"{file}: cannot be written: ")
        assert file.read_bytes() == whole
        with pytest.raises(DiskError):
            ledger.check()
        account.add(cached=1)
    again = Ledger()
    with again.of_run(file):
        again.check()
        assert (again.usage("one").calls, again.usage("one").cached) == (1, 1)


def test_a_cache_on_a_full_disk_is_one_line_and_keeps_what_it_has(tmp_path: Path) -> None:
    file = tmp_path / "judge.sqlite"
    cache, reply = ReplyCache(file), Reply("[[A]]", 1, 1, 0.5)
    cache.put("first", reply)
    with largest_file(0), pytest.raises(DiskError, match="make space and repeat") as caught:
        cache.put("second", reply)
    assert str(caught.value).startswith(f"{file}: ")
    assert (cache.get("first"), cache.get("second")) == (reply, None)
    cache.put("second", reply)
    assert cache.get("second") == reply
    cache.close()


def test_a_disk_that_is_full_at_the_start_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "judges.jsonl"
    before = json.dumps({"judge": "one", **CALL}) + "\n"
    file.write_text(before)
    with largest_file(10), pytest.raises(DiskError, match="cannot be written: File too large"), Ledger().of_run(file):
        pass
    assert file.read_text() == before


def test_every_run_has_an_account_of_its_own(tmp_path: Path) -> None:
    ledger = Ledger()
    account = ledger.account("one", "m")
    with ledger.of_run(tmp_path / "a.jsonl"):
        account.add(**CALL)
    assert account.usage == JudgeMetrics()
    with ledger.of_run(tmp_path / "b.jsonl"):
        assert account.usage == JudgeMetrics()
        account.add(cached=5)
    with ledger.of_run(tmp_path / "a.jsonl"):
        assert (account.usage.calls, account.usage.cached) == (1, 0)


@pytest.mark.parametrize(
    "line", ["[1]", '"x"', "{}", '{"judge": "one", "calls": "x"}', '{"judge": "one", "coins": 1}', '{"judge": ["one"]}']
)
def test_a_damaged_account_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "judges.jsonl"
    file.write_text(json.dumps({"judge": "one", **CALL}) + f"\n{line}\n")
    with (
        pytest.raises(DataError, match=r"judges\.jsonl:2: not a (JSON obj|line of a judge)"),
        Ledger().of_run(file),
    ):
        pass
