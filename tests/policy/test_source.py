"""Models that are not there: one line, at once, without the retries of libraries."""

from __future__ import annotations

import socket
import time

import pytest
from huggingface_hub import constants

from omnithinker.cli import main
from omnithinker.errors import BadInput
from omnithinker.io.hub import HUB_TIMEOUT_S
from omnithinker.policy import source
from omnithinker.policy.source import require_model


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """A hub without a server, and an empty cache."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.chdir(tmp_path)
    source._require_on_hub.cache_clear()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./modell", "model './modell': no such folder; did you mean 'model'?; give a folder with safetensors weights"),
        ("/nowhere/model", "model '/nowhere/model': no such folder; give a folder"),
        ("~/model", "model '~/model': no such folder"),
        ("a/b/c", "model 'a/b/c': no such folder"),
        ("", "model '': no such folder"),
        ("file.gguf", "model 'file.gguf': not a folder"),
        ("a b", "model 'a b': neither a folder nor a hub name"),
        ("modell", "model 'modell': no such folder; did you mean 'model'?, not in the cache, and http"),
        ("Qwen/Qwen3", "model 'Qwen/Qwen3': no such folder, not in the cache, and http"),
        ("n" * 300, "File name too long"),
        ("a\0b", "neither a folder nor a hub name"),
    ],
)
def test_a_model_that_is_not_there(name, message, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "file.gguf").touch()
    with pytest.raises(BadInput) as caught:
        require_model(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["train", "evaluate", "study"])
def test_commands_find_out_before_they_do_anything(command, tmp_path, capsys):
    recipe = tmp_path / "one.toml"
    recipe.write_text(
        'model.path = "Qwen/Qwen3"\n[tasks.only]\ndata = "lab:qa"\nrewards.short_answer = 1.0\n', encoding="utf-8"
    )
    started = time.monotonic()
    assert main([command, str(recipe)]) == 2
    assert time.monotonic() - started < HUB_TIMEOUT_S + 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run 'hf download Qwen/Qwen3' with a connection" in error


def test_a_cached_model_is_loaded_without_the_hub(tmp_path):
    snapshot = tmp_path / "cache/models--Qwen--Qwen3/snapshots/1"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    (tmp_path / "cache/models--Qwen--Qwen3/refs").mkdir()
    (tmp_path / "cache/models--Qwen--Qwen3/refs/main").write_text("1")
    require_model("Qwen/Qwen3")
    assert constants.HF_HUB_OFFLINE
