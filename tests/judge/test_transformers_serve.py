"""The chat judge against a real server: ``transformers serve`` with a tiny random model."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.judge.base import JudgeFailed
from omnithinker.judge.chat import ChatJudge

pytest.importorskip("fastapi", reason="needs transformers[serving]")
pytest.importorskip("uvicorn", reason="needs transformers[serving]")


@pytest.fixture
def url(model_folder: Path, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "home" / "hub").mkdir(parents=True)
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model_folder)]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}/v1"
    server.kill()
    server.wait()


@pytest.mark.slow
def test_a_real_server_answers_and_a_random_model_gives_no_verdict(url: str, model_folder: Path) -> None:
    # The first tries find nobody: the server takes some seconds to start.
    settings = ChatJudgeSettings(model=str(model_folder), base_url=url, max_tokens=4, retries=100, deadline_s=300)
    judge = ChatJudge(settings)
    with pytest.raises(JudgeFailed) as caught:
        asyncio.run(judge.compare(request="Write.", answer_a="One.", answer_b="Two.", row={}))
    assert caught.value.cause == "judge_unparseable"
    assert judge.usage.calls == 2
    assert judge.usage.prompt_tokens > 0
    assert 0 < judge.usage.completion_tokens <= 8
