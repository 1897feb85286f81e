"""Models that are not there: one line, at once, without the retries of libraries."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
        ("file.txt", "model 'file.txt': not a folder"),
        ("a b", "model 'a b': neither a folder nor a hub name"),
        ("modell", "model 'modell': no such folder; did you mean 'model'?, not in the cache, and http"),
        ("Qwen/Qwen3", "model 'Qwen/Qwen3': no such folder, not in the cache, and http"),
        ("n" * 300, "File name too long"),
        ("a\0b", "neither a folder nor a hub name"),
    ],
)
def test_a_model_that_is_not_there(name, message, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "file.txt").touch()
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


class Hub(BaseHTTPRequestHandler):
    """Answers every request with one status."""

    status, header = 200, ("X-None", "")

    def do_GET(self):
        content = b'{"id": "Qwen/Qwen3", "modelId": "Qwen/Qwen3"}'
        self.send_response(self.status)
        self.send_header(*self.header)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{served.server_port}")
        yield
        served.shutdown()


@pytest.mark.parametrize(
    ("status", "header", "message"),
    [
        (401, ("X-Error-Code", "RepoNotFound"), "has no such model, or it is private"),
        (403, ("X-Error-Code", "GatedRepo"), "it is gated: accept its terms on the hub and run 'hf auth login'"),
        (403, ("X-None", ""), "answers with status 403"),
        (503, ("X-None", ""), "answers with status 503"),
    ],
)
def test_a_hub_that_refuses(status, header, message, hub, monkeypatch):
    monkeypatch.setattr(Hub, "status", status)
    monkeypatch.setattr(Hub, "header", header)
    with pytest.raises(BadInput, match=message) as caught:
        require_model("Qwen/Qwen3")
    assert "\n" not in str(caught.value)


def test_a_hub_that_has_the_model(hub):
    require_model("Qwen/Qwen3")
    assert not constants.HF_HUB_OFFLINE


def test_a_hub_that_never_answers(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(source, "HUB_TIMEOUT_S", 0.1)
        with pytest.raises(BadInput, match=r"not in the cache, and http.* (does not answer|cannot be reached)"):
            require_model("Qwen/Qwen3")
