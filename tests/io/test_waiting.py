"""A signal interrupts a wait, whichever thread the kernel delivers it to."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future

import pytest

from omnithinker.io.waiting import result_of, wait_for_all, wait_for_first
from omnithinker.ui.interrupt import interruptible


@pytest.mark.parametrize("wait", [result_of, lambda f: wait_for_all([f]), lambda f: wait_for_first([f])])
def test_a_signal_delivered_to_another_thread_ends_a_wait(wait):
    future: Future[int] = Future()
    other = threading.Timer(0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT))
    never = threading.Timer(30, future.set_result, [0])
    never.start()
    try:
        with interruptible("stopped"):
            other.start()
            with pytest.raises(KeyboardInterrupt):
                wait(future)
    finally:
        never.cancel()
    assert not future.done()


def test_a_result_or_an_exception_is_passed_on():
    done, failed = Future(), Future()
    done.set_result(3)
    failed.set_exception(TimeoutError("own"))
    assert result_of(done) == 3
    with pytest.raises(TimeoutError, match="own"):
        result_of(failed)
