"""Memory that a process keeps after freeing it."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from omnithinker.io.memory import keep_freed_memory

def pages_cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(128 * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
print(*[pages_cleared() for _ in range(12)])
"""


def pages_cleared(call: str) -> list[int]:
    """Pages that the kernel clears in each of several allocations of one size."""
    program = PROGRAM.format(call=call)
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return [int(count) for count in output.split()]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs the C library of GNU")
def test_a_freed_block_is_not_cleared_again():
    # Whatever lies beside the first blocks, they leave room for the later ones.
    kept = pages_cleared("keep_freed_memory()")
    assert sum(kept[6:]) < kept[0] / 10
    freed = pages_cleared("")  # the C library's own behavior
    assert min(freed) > freed[0] / 2
