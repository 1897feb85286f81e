"""Fixtures of the judge's tests."""

from collections.abc import Iterator

import pytest

from tests.builders.fake_endpoint import FakeEndpoint


@pytest.fixture
def server() -> Iterator[FakeEndpoint]:
    with FakeEndpoint() as server:
        yield server
