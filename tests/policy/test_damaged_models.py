"""Models whose files are damaged, incomplete or hostile: one line, from every command that reads them."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from omnithinker.checks.model import check_model
from omnithinker.errors import BadInput, DataError
from omnithinker.policy.adapter import base_of
from omnithinker.policy.loading import load_policy, load_trained
from omnithinker.policy.tokenizer import load_tokenizer
from tests.builders.policy import LORA, settings_of


def configured(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def written(name: str, content: str | bytes) -> Any:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def shortened(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


FILES = {
    "no JSON": written("config.json", "{nope"),
    "a list": written("config.json", "[]"),
    "deep": written("config.json", '{"a":' * 100_000 + "1" + "}" * 100_000),
    "negative size": lambda folder: configured(folder, hidden_size=-5),
    "no heads": lambda folder: configured(folder, num_attention_heads=0),
    "a text for a number": lambda folder: configured(folder, hidden_size="64"),
    "a huge number": lambda folder: configured(folder, vocab_size=10**30),
    "code in the folder": lambda folder: configured(
        folder, model_type="other", auto_map={"AutoConfig": "evil.A", "AutoModelForCausalLM": "evil.B"}
    ),
    "tokenizer is no JSON": written("tokenizer.json", "{"),
    "tokenizer settings are a list": written("tokenizer_config.json", "[]"),
}


def shard_missing(folder: Path) -> None:
    whole = folder / "model.safetensors"
    names = dict.fromkeys(load_file(whole), "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    whole.unlink()


def index_damaged(folder: Path) -> None:
    shard_missing(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": []}')


WEIGHTS = {
    "empty": written("model.safetensors", b""),
    "huge header": written("model.safetensors", struct.pack("<Q", 2**60) + b"{}"),
    "incomplete": shortened,
    "a shard is missing": shard_missing,
    "index without shards": index_damaged,
}


@pytest.mark.parametrize("damage", [*FILES, *WEIGHTS])
def test_damaged_files_are_one_line(damage, model_folder):
    (FILES | WEIGHTS)[damage](model_folder)
    with pytest.raises(BadInput) as refused:
        load_policy(settings_of(model_folder))
    section, _ = check_model(settings_of(model_folder))
    assert section.problems
    for line in (str(refused.value), *section.problems):
        assert str(model_folder) in line
        assert "\n" not in line
        assert len(line) < 600


def test_weights_that_the_files_lack_are_not_drawn_at_random(model_folder):
    file = model_folder / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"], weights["model.norm.weight"]
    save_file(weights, file, {"format": "pt"})
    message = "its files lack 2 of the weights in config.json, such as model.layers.1.mlp.up_proj.weight; complete"
    with pytest.raises(BadInput, match=message):
        load_policy(settings_of(model_folder))


@pytest.mark.parametrize(
    "template", ["{% for i in range(10**9) %}x{% endfor %}", "{{ 1 // 0 }}", "{{ messages[9].a.b }}"]
)
def test_a_chat_template_that_fails_is_one_line(template, model_folder):
    (model_folder / "chat_template.jinja").write_text(template)
    tokenizer = load_tokenizer(settings_of(model_folder))
    with pytest.raises(DataError, match="chat template refuses messages of roles user: ") as refused:
        tokenizer.encode("hello")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\0", '{"a":' * 100_000])
def test_the_configuration_of_an_adapter_may_hold_anything(content, model_folder, tmp_path):
    folder = tmp_path / "adapter"
    load_trained(settings_of(model_folder, **LORA), seed=0).save(folder)
    (folder / "adapter_config.json").write_text(content)
    with pytest.raises(BadInput, match=re.escape(str(folder))):
        base_of(folder)
    with pytest.raises(BadInput):
        load_policy(settings_of(folder))
    assert check_model(settings_of(folder))[0].problems
