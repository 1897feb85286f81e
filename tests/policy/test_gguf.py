"""Models in GGUF files are unpacked once, and are folders like any other from then on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from omnithinker.checks.model import check_model
from omnithinker.errors import BadInput, DiskError
from omnithinker.policy import gguf, source
from omnithinker.policy.loading import load_policy, load_trained
from omnithinker.policy.source import loadable, locate_model, require_model
from omnithinker.policy.tokenizer import load_tokenizer
from omnithinker.train.checkpoint import list_checkpoints
from tests.builders import ROOT
from tests.builders.gguf import write_gguf
from tests.builders.policy import LORA, settings_of
from tests.builders.training import recipe_of, run, same, weights

pytest.importorskip("gguf")
IDS = torch.tensor([[5, 6, 7, 8, 9]])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/omnithinker/models"


def test_weights_and_chat_template_are_those_of_the_file(tmp_path, cache):
    model = write_gguf(tmp_path / "tiny.gguf")
    policy = load_policy(settings_of(tmp_path / "tiny.gguf"))
    with torch.no_grad():
        assert torch.allclose(policy.model(IDS).logits, model(IDS).logits, atol=1e-6)
    ids = policy.tokenizer.encode("ab")
    vocabulary = policy.tokenizer.hf.get_vocab()
    assert ids == tuple(vocabulary[t] for t in ("<|im_start|>", "ab", "<|im_end|>", "<|im_start|>"))
    assert policy.tokenizer.end_ids == (vocabulary["<|im_end|>"],)
    # What is unpacked is a folder that transformers alone loads.
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    plain = AutoModelForCausalLM.from_pretrained(folder)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), policy.model.parameters(), strict=True))
    assert AutoTokenizer.from_pretrained(folder).chat_template == policy.tokenizer.hf.chat_template
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())


def test_a_run_from_a_file_is_that_from_its_folder_and_checkpoints_are_folders(tmp_path, cache):
    write_gguf(tmp_path / "tiny.gguf")
    one = run(recipe_of(tmp_path / "tiny.gguf"), tmp_path / "one")
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    two = run(recipe_of(folder), tmp_path / "two")
    assert same(weights(one), weights(two))
    saved = AutoModelForCausalLM.from_pretrained(list_checkpoints(tmp_path / "one/checkpoints")[-1])
    assert torch.equal(saved(IDS).logits, one.model(IDS).logits)


def test_a_file_is_unpacked_once_and_again_if_it_changes(tmp_path, cache):
    file, notes = tmp_path / "tiny.gguf", []
    write_gguf(file)
    first = loadable(locate_model(file), notes.append)
    assert notes == [f"unpacking {file} into {first}, once; this takes a minute or more"]
    before = (Path(first) / "model.safetensors").stat().st_mtime_ns
    assert loadable(locate_model(file), notes.append) == first
    assert (Path(first) / "model.safetensors").stat().st_mtime_ns == before
    assert len(notes) == 1
    os.utime(file, ns=(1, 1))
    assert loadable(locate_model(file), notes.append) != first
    assert len(notes) == 2


def test_processes_that_unpack_at_once_get_one_folder(tmp_path, cache):
    write_gguf(tmp_path / "tiny.gguf")
    (cache / f".{gguf.cache_folder(tmp_path / 'tiny.gguf').name}.1.tmp").mkdir(parents=True)  # of a killed process
    code = "import sys; from omnithinker.policy.source import *; print(loadable(locate_model(sys.argv[1]), print))"
    command = [sys.executable, "-c", code, str(tmp_path / "tiny.gguf")]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    lines = [process.communicate()[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(len(each) for each in lines) == [1, 2]  # one unpacked
    assert lines[0][-1] == lines[1][-1]
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [Path(lines[0][-1]).name]
    load_policy(settings_of(tmp_path / "tiny.gguf"))


def test_an_adapter_names_the_file_as_its_base(tmp_path):
    write_gguf(tmp_path / "tiny.gguf")
    settings = settings_of(tmp_path / "tiny.gguf", **LORA)
    trained = load_trained(settings, seed=0)
    trained.save(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "tiny.gguf")
    merged = load_policy(settings_of(tmp_path / "adapter"))
    with torch.no_grad():
        assert torch.allclose(merged.model(IDS).logits, trained.model(IDS).logits, atol=1e-5)
    assert merged.tokenizer.end_ids == trained.tokenizer.end_ids
    section, outline = check_model(settings)
    assert section.problems == ()
    assert outline.trained == sum(weight.numel() for weight in trained.trained)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 9, b"GGUF" + bytes(99), None])
def test_a_file_that_cannot_be_read_is_named_in_one_line(content, tmp_path, cache):
    file = tmp_path / "tiny.gguf"
    write_gguf(file)
    if content is None:
        content = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(content)
    with pytest.raises(BadInput, match=r"model '.*tiny\.gguf': cannot be read as GGUF: ") as caught:
        load_policy(settings_of(file))
    assert "\n" not in str(caught.value)
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_file_without_a_chat_template_is_refused(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", template=None)
    with pytest.raises(BadInput, match="has no chat template"):
        load_tokenizer(settings_of(tmp_path / "tiny.gguf"))


def test_messages_before_anything_is_loaded(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/tiny.gguf").touch()
    with pytest.raises(BadInput, match=r"holds GGUF files only; give one of them, such as .*folder/tiny.gguf"):
        require_model(str(tmp_path / "folder"))
    with pytest.raises(BadInput, match=r"model 'other.gguf': no such file"):
        require_model("other.gguf")
    monkeypatch.setattr(gguf, "find_spec", lambda name: None if name == "gguf" else name)
    with pytest.raises(BadInput, match=r"need the package 'gguf': pip install 'omnithinker\[gguf\]'"):
        require_model(str(tmp_path / "folder/tiny.gguf"))
    monkeypatch.setattr(source, "require_packages", lambda: None)
    require_model(str(tmp_path / "folder/tiny.gguf"))


def test_a_full_disk_leaves_nothing_behind(tmp_path, cache, monkeypatch):
    write_gguf(tmp_path / "tiny.gguf")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedTokenizerBase.save_pretrained", full)
    with pytest.raises(DiskError, match="No space left on device"):
        loadable(locate_model(tmp_path / "tiny.gguf"))
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written_to(tmp_path, cache):
    write_gguf(tmp_path / "tiny.gguf")
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")
    with pytest.raises(BadInput, match=r"cannot write here: .*; set XDG_CACHE_HOME"):
        loadable(locate_model(tmp_path / "tiny.gguf"))
