"""Cache files that are damaged, foreign, locked, read-only, or shared by processes."""

import asyncio
import json
import multiprocessing
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.errors import BadInput
from omnithinker.judge import cache as cache_module
from omnithinker.judge.base import Verdict
from omnithinker.judge.cache import ReplyCache
from omnithinker.judge.chat import ChatJudge
from omnithinker.judge.replies import Reply
from tests.builders import fake_endpoint
from tests.builders.fake_endpoint import FakeEndpoint

REPLY = Reply("[[A]]", 1, 2, 0.5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A cache with many replies in one file."""
    path = tmp_path / "replies.sqlite"
    with ReplyCache(path) as cache:
        for number in range(300):
            cache.put(f"key {number}", Reply("x" * 200, 1, 2, 0.5))
    assert not path.with_name(path.name + "-wal").exists()
    return path


def use(path: Path) -> None:
    with ReplyCache(path) as cache:
        for number in range(300):
            cache.get(f"key {number}")
        cache.put("new", REPLY)


def execute(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def overwrite(path: Path, start: float, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    position = int(len(content) * start)
    content[position : position + len(data)] = data
    path.write_bytes(content)


DAMAGE = {
    "noise": lambda path: path.write_bytes(b"not a database" * 100),
    "header": lambda path: overwrite(path, 0.0, b"\xff" * 50),
    "middle": lambda path: overwrite(path, 0.3, b"\xff" * 30_000),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "no JSON": lambda path: execute(path, "UPDATE replies SET reply = '{'"),
    "no object": lambda path: execute(path, "UPDATE replies SET reply = '[1]'"),
    "no fields": lambda path: execute(path, "UPDATE replies SET reply = '{}'"),
    "more fields": lambda path: execute(path, "UPDATE replies SET reply = json_set(reply, '$.secret', 1)"),
    "wrong kind": lambda path: execute(path, "UPDATE replies SET reply = json_set(reply, '$.text', 1)"),
    "deep": lambda path: execute(path, f"UPDATE replies SET reply = '{'[' * 100_000}'"),
    "bytes": lambda path: execute(path, "UPDATE replies SET reply = x'ff00'"),
    "no text": lambda path: execute(path, "UPDATE replies SET reply = CAST(x'ff80' AS TEXT)"),
    "other columns": lambda path: execute(path, "DROP TABLE replies", "CREATE TABLE replies (id INTEGER, reply TEXT)"),
    "other tables": lambda path: execute(path, "DROP TABLE replies", "CREATE TABLE metrics (id INTEGER)"),
    "other version": lambda path: execute(path, "PRAGMA user_version = 2"),
    "a view": lambda path: execute(path, "ALTER TABLE replies RENAME TO t", "CREATE VIEW replies AS SELECT * FROM t"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_file_that_is_no_cache_is_one_line(file: Path, name: str) -> None:
    DAMAGE[name](file)
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(
        BadInput, match=r"judge cache .*replies\.sqlite: cannot be used: .*; use another file"
    ) as caught:
        use(file)
    assert "\n" not in str(caught.value)
    if "other" in name or name == "a view":
        assert file.read_bytes() == before


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "/dev/null/cache.sqlite", "/proc/cache.sqlite"])
def test_a_place_where_no_file_can_be_is_one_line(path: str) -> None:
    with pytest.raises(BadInput, match="cannot be used"):
        ReplyCache(path)


def test_an_empty_file_is_a_new_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    use(tmp_path / "cache")


def test_a_read_only_file_is_found_at_the_start(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permissions do not hold for root, so SQLite is told.
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(f"file:{path}?mode=ro", uri=True, **options)
    )
    with pytest.raises(BadInput, match="readonly"):
        ReplyCache(file)


@pytest.mark.parametrize("started", [False, True])
def test_a_locked_file_is_one_line(file: Path, monkeypatch: pytest.MonkeyPatch, started: bool) -> None:
    monkeypatch.setattr(cache_module, "LOCKED_S", 0.05)
    other = sqlite3.connect(file, isolation_level=None)
    cache = ReplyCache(file) if started else None
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BadInput, match="end the process that locks it"):
        cache.put("new", REPLY) if cache else ReplyCache(file)
    other.execute("ROLLBACK")
    other.close()
    use(file)


def test_the_first_writer_wins_for_both(file: Path) -> None:
    with ReplyCache(file) as one, ReplyCache(file) as two:
        other = Reply("[[B]]", 3, 4, 0.5)
        assert one.put("k", REPLY) == REPLY
        assert two.put("k", other) == REPLY
        assert one.get("k") == two.get("k") == REPLY


def test_two_judges_on_one_cache_give_the_verdict_of_the_first(server: FakeEndpoint, tmp_path: Path) -> None:
    path = str(tmp_path / "cache.sqlite")
    settings = ChatJudgeSettings(model="m", base_url=server.url, cache=path, price_input=1.0)

    def ask(judge: ChatJudge) -> Verdict:
        return asyncio.run(judge.compare(request="r", answer_a="a", answer_b="b", row={}))

    def other_is_faster(body: dict[str, Any]) -> fake_endpoint.Reply:
        with ReplyCache(path) as cache:
            database = cache._database
            database.execute("INSERT INTO replies SELECT ?, ?", (keys.pop(), json.dumps(OTHER)))
        return fake_endpoint.Reply("[[A]]", tokens=(1_000_000, 1))

    keys: list[str] = []
    original = cache_module.ReplyCache.get

    def get(self: ReplyCache, key: str) -> Reply | None:
        keys.append(key)
        return original(self, key)

    server.answer = other_is_faster
    with pytest.MonkeyPatch.context() as patch, ChatJudge(settings) as judge:
        patch.setattr(cache_module.ReplyCache, "get", get)
        assert ask(judge) is Verdict.B
        assert (judge.usage.calls, judge.usage.cost) == (1, 1.0)  # its own reply was paid for
        assert ask(judge) is Verdict.B
        assert judge.usage.cached == 1


def test_a_reply_of_another_endpoint_is_not_used(server: FakeEndpoint, tmp_path: Path) -> None:
    settings = ChatJudgeSettings(model="m", cache=str(tmp_path / "cache.sqlite"), max_tokens=10)
    server.answer = lambda body: fake_endpoint.Reply("[[A]]")
    with FakeEndpoint() as other, pytest.MonkeyPatch.context() as environment:
        other.answer = lambda body: fake_endpoint.Reply("[[B]]")
        verdicts = []
        for url in (server.url, other.url, server.url):
            environment.setenv("OPENAI_BASE_URL", url)
            with ChatJudge(settings) as judge:
                verdicts.append(asyncio.run(judge.compare(request="r", answer_a="a", answer_b="b", row={})))
    assert verdicts == [Verdict.A, Verdict.B, Verdict.A]
    assert (len(server.requests), len(other.requests)) == (1, 1)


OTHER = {"text": "[[B]]", "prompt_tokens": 1, "completion_tokens": 1, "seconds": 0.1}


def test_replies_of_earlier_versions_are_read(file: Path) -> None:
    execute(file, f"INSERT INTO replies VALUES ('old', '{json.dumps(OTHER)}')")
    with ReplyCache(file) as cache:
        assert cache.get("old") == Reply("[[B]]", 1, 1, 0.1, complete=True)


def _fill(path: str, number: int, results: Any) -> None:
    with ReplyCache(path) as cache:
        results.put([cache.put(f"key {i}", Reply(f"{number}", 1, 1, 0.1)).text for i in range(50)])


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(3):
        results = context.Queue()
        path = str(tmp_path / f"{attempt}.sqlite")
        workers = [context.Process(target=_fill, args=(path, number, results)) for number in range(4)]
        for worker in workers:
            worker.start()
        found = [results.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join()
        assert found == [found[0]] * 4
    shutil.rmtree(tmp_path)
