"""Training an adapter instead of all weights, and training all but the embeddings."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from omnithinker.errors import BadInput
from omnithinker.policy.loading import load_policy, load_trained
from omnithinker.policy.logprobs import Reference, completion_logprobs, token_batch
from omnithinker.schedules.base import FixedSchedule
from omnithinker.train.checkpoint import list_checkpoints
from omnithinker.train.setup import load_or_resume
from tests.builders.architectures import random_policy
from tests.builders.policy import LORA, completion_of, prompt_of, settings_of
from tests.builders.training import Quiet, recipe_of, run, same, weights

IDS = torch.tensor([[5, 6, 7, 8, 9]])


@pytest.fixture
def trained(model_folder, tmp_path):
    """A policy after four steps with an adapter, and its newest checkpoint."""
    policy = run(recipe_of(model_folder, held=LORA, learning_rate=0.05), tmp_path / "run")
    return policy, list_checkpoints(tmp_path / "run/checkpoints")[-1]


def test_an_adapter_starts_without_effect_and_learns(trained, model_folder):
    policy, _ = trained
    base = load_policy(settings_of(model_folder))
    fresh = load_trained(settings_of(model_folder, **LORA), seed=0)
    with torch.no_grad():
        assert torch.equal(fresh.model(IDS).logits, base.model(IDS).logits)
        assert not torch.allclose(policy.model(IDS).logits, base.model(IDS).logits, atol=1e-2)
    assert {name.rsplit(".", 3)[1] for name, p in policy.model.named_parameters() if p.requires_grad} == {
        "lora_A",
        "lora_B",
    }


def test_the_seed_fixes_a_new_adapter(model_folder):
    drawn = [load_trained(settings_of(model_folder, **LORA), seed=seed).trained for seed in (3, 3, 4)]
    assert all(torch.equal(one, two) for one, two in zip(drawn[0], drawn[1], strict=True))
    assert any(not torch.equal(one, two) for one, two in zip(drawn[0], drawn[2], strict=True))


def test_a_checkpoint_loads_in_peft(trained, model_folder):
    policy, folder = trained
    assert not list(folder.glob("model*.safetensors"))
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_folder), folder)
    with torch.no_grad():
        assert torch.equal(loaded(IDS).logits, policy.model(IDS).logits)


def test_a_checkpoint_is_a_model_of_its_own_for_other_commands(trained, monkeypatch, tmp_path):
    policy, folder = trained
    monkeypatch.chdir(tmp_path)
    merged = load_policy(settings_of(folder))
    assert merged.adapter is None
    assert merged.tokenizer.encode("hello") == policy.tokenizer.encode("hello")
    with torch.no_grad():
        assert torch.allclose(merged.model(IDS).logits, policy.model(IDS).logits, atol=1e-4)
    merged.save(tmp_path / "whole")
    whole = load_policy(settings_of(tmp_path / "whole"))
    assert torch.equal(whole.model(IDS).logits, merged.model(IDS).logits)


def test_an_adapter_can_be_trained_on_top_of_another(trained, tmp_path):
    _, folder = trained
    run(recipe_of(folder, held=LORA, learning_rate=0.05, betas={"a": 0.1, "b": 0.1}), tmp_path / "second")
    second = load_policy(settings_of(list_checkpoints(tmp_path / "second/checkpoints")[-1]))
    first = load_policy(settings_of(folder))
    with torch.no_grad():
        assert not torch.allclose(second.model(IDS).logits, first.model(IDS).logits, atol=1e-2)
    # The first step's reference is the policy itself: the first adapter, not the base, is where training began.
    steps = [json.loads(line) for line in (tmp_path / "second/metrics.jsonl").open()]
    assert steps[0]["task/b/kl"] == pytest.approx(0, abs=1e-9)
    assert steps[-1]["task/a/kl"] > 1e-6


def test_the_reference_is_the_adapter_switched_off(trained, model_folder, tmp_path):
    policy, _ = trained
    batch = token_batch([prompt_of(policy, "q")], [(0, completion_of([5, 6, 7]))], policy.device)
    base = load_policy(settings_of(model_folder))
    with torch.no_grad():
        before = completion_logprobs(policy, batch)
        assert torch.equal(Reference(policy).logprobs(batch), completion_logprobs(base, batch))
        assert torch.equal(completion_logprobs(policy, batch), before)
    recipe = recipe_of(model_folder, held=LORA, betas={"a": 0.1, "b": 0.0})
    started, reference, _, _ = load_or_resume(recipe, FixedSchedule([]), tmp_path / "new", print, seed=0)
    assert reference.policy is started


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_interrupted_equals_uninterrupted_bit_for_bit(stop_after, model_folder, tmp_path):
    recipe = recipe_of(model_folder, held=LORA, betas={"a": 0.1, "b": 0.0}, minibatches=2)
    whole = run(recipe, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "parts", observer=Quiet(stop_after))
    assert same(weights(whole), weights(run(recipe, tmp_path / "parts")))


def test_rank_targets_and_alpha(model_folder):
    def with_lora(**lora):
        return load_trained(settings_of(model_folder, lora=lora), seed=0)

    def size(policy):
        return sum(p.numel() for p in policy.trained)

    assert size(with_lora(rank=8)) == 2 * size(with_lora(rank=4))
    queries = with_lora(rank=4, targets=["q_proj"])
    assert len(queries.trained) == 4  # two factors in each of two layers
    changed = {}
    for alpha in (4, 8):
        policy = with_lora(rank=4, alpha=alpha, targets=["q_proj"])
        layer = policy.model.model.layers[0].self_attn.q_proj
        with torch.no_grad():
            layer.lora_B.default.weight.fill_(0.1)
            x = torch.ones(1, 32)
            changed[alpha] = layer(x) - layer.base_layer(x)
    assert torch.allclose(changed[8], 2 * changed[4], atol=1e-6)
    with pytest.raises(BadInput, match=r"model.lora.targets \['nowhere'\]"):
        with_lora(targets=["nowhere"])


def test_scale_and_initial_values(model_folder):
    def layer(**lora):
        policy = load_trained(settings_of(model_folder, lora={"rank": 4, "alpha": 8} | lora), seed=0)
        with torch.no_grad():
            base = load_policy(settings_of(model_folder))
            assert torch.allclose(policy.model(IDS).logits, base.model(IDS).logits, atol=1e-5)  # no effect at first
        return policy.model.model.layers[0].self_attn.q_proj

    assert layer().scaling == {"default": 2.0}
    assert layer(rslora=True).scaling == {"default": 4.0}  # 8 / sqrt(4)
    first = {init: layer(init=init).lora_A.default.weight for init in ("default", "gaussian")}
    assert first["default"].abs().max() <= 1 / 32**0.5  # uniform, Kaiming's bound for 32 inputs
    assert 0.1 < first["gaussian"].std() < 0.5  # standard deviation 1 / rank
    by_name = load_trained(settings_of(model_folder, lora={"targets": "all-linear"}), seed=0)
    assert len(by_name.trained) == 2 * 2 * 7  # factors, layers, linear layers of each


def test_an_adapter_of_another_model_is_refused(trained, tmp_path):
    _, folder = trained
    random_policy("qwen3").save(tmp_path / "other")
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    # As written the adapter names each layer; by short names it would be meant for four layers here, and has two.
    names = sorted({name.rpartition(".")[2] for name in config["target_modules"]})
    other = {"base_model_name_or_path": str(tmp_path / "other"), "target_modules": names}
    file.write_text(json.dumps(config | other))
    with pytest.raises(BadInput, match="was trained for other layers"):
        load_policy(settings_of(folder))
    random_policy("gpt2").save(tmp_path / "gpt2")
    file.write_text(json.dumps(config | {"base_model_name_or_path": str(tmp_path / "gpt2")}))
    with pytest.raises(BadInput, match=r"does not fit .*gpt2"):
        load_policy(settings_of(folder))
    file.write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(BadInput, match="names no base model"):
        load_policy(settings_of(folder))


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_falls_back_to_the_checkpoint_before(file, model_folder, tmp_path):
    recipe = recipe_of(model_folder, held=LORA)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "run", observer=Quiet(stop_after=3))
    damaged = tmp_path / "run/checkpoints/step-3" / file
    damaged.write_bytes(damaged.read_bytes()[:-20])
    observer = Quiet()
    run(recipe, tmp_path / "run", observer=observer)
    assert "set aside as damaged-step-3" in observer.notes[0]


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_frozen_embeddings_stay_as_they_are(family, tmp_path):
    base = random_policy(family)
    base.save(tmp_path / "model")
    after = {
        frozen: run(
            recipe_of(tmp_path / "model", held={"freeze_embeddings": frozen}, learning_rate=0.01),
            tmp_path / f"run-{frozen}",
        )
        for frozen in (False, True)
    }

    def unchanged(policy):
        before = base.model.state_dict()
        now = policy.model.state_dict()
        return {name.removesuffix(".weight") for name in now if torch.equal(now[name], before[name])}

    assert unchanged(after[False]) == set()
    assert unchanged(after[True]) == {"model.embed_tokens", "lm_head"}


def test_weights_in_bfloat16_are_trained_through_an_adapter_only(model_folder):
    with pytest.raises(BadInput, match=r"model.dtype = 'bfloat16' without model.lora"):
        load_trained(settings_of(model_folder, dtype="bfloat16"), seed=0)
    policy = load_trained(settings_of(model_folder, dtype="bfloat16", **LORA), seed=0)
    assert {p.dtype for p in policy.trained} == {torch.float32}
    assert policy.model.get_input_embeddings().weight.dtype == torch.bfloat16
