"""The base class of objects that are closed."""

from __future__ import annotations

import pytest

from omnithinker.io.closing import Closing


class Resource(Closing):
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_leaving_the_block_closes():
    with Resource() as resource:
        assert resource.closed == 0
    assert resource.closed == 1


def test_an_error_in_the_block_closes_and_propagates():
    resource = Resource()
    with pytest.raises(KeyError), resource:
        raise KeyError
    assert resource.closed == 1


def test_a_class_without_close_cannot_be_created():
    with pytest.raises(TypeError, match="close"):
        type("Unclosable", (Closing,), {})()
