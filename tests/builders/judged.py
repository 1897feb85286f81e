"""A recipe whose writing is judged behind an endpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from tests.builders.fake_endpoint import FakeEndpoint, Reply

RECIPE = """
[model]
path = "{model}"
device = "cpu"
threads = 1
[sampling]
completions = 3
max_new_tokens = 5
[training]
learning_rate = 3e-3
prompts_per_step = 3
checkpoint_every = 100
epochs = 2
[evaluation]
items = 4
[judges.default]
kind = "chat"
model = "m"
base_url = "{url}"
cache = "{cache}"
price_input = 1.0
concurrency = 4
[tasks.writing]
train = "rows.jsonl"
test = "rows.jsonl"
rewards.pairwise_judge = 1.0
"""


STEPS, JUDGED = 4, 4 * 3 * 3 + 2 * 4
"""Training steps; judgments of a whole run, those of the evaluation included."""


def verdict(body: dict) -> Reply:
    """A verdict that depends on the request alone; every call costs 1."""
    digest = hashlib.sha256(json.dumps(body["messages"]).encode()).digest()
    return Reply(f"[[{'ABC'[digest[0] % 3]}]]", tokens=(1_000_000, 0))


@pytest.fixture
def server() -> Iterator[FakeEndpoint]:
    with FakeEndpoint() as server:
        server.answer = verdict
        yield server
