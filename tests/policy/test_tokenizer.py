"""Tokenizers of chat models."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from omnithinker.config.model import ModelSettings
from omnithinker.errors import BadInput, DataError
from omnithinker.policy.loading import load_policy
from omnithinker.policy.tokenizer import load_tokenizer
from tests.builders.policy import make_policy


@pytest.mark.parametrize(
    ("file", "eos", "expected"),
    [
        ("generation_config.json", [260, 7], (260, 7)),
        ("generation_config.json", 9, (9,)),
        ("generation_config.json", None, (256,)),  # of the tokenizer
        ("config.json", 9, (9,)),
    ],
)
def test_end_tokens_are_those_of_the_generation_or_model_configuration(file, eos, expected, tmp_path):
    policy = make_policy()
    policy.save(tmp_path)
    if file == "config.json":
        (tmp_path / "generation_config.json").unlink()
    config = json.loads((tmp_path / file).read_text())
    config["eos_token_id"] = eos
    (tmp_path / file).write_text(json.dumps(config))
    settings = ModelSettings(path=str(tmp_path))
    assert load_tokenizer(settings).end_ids == expected
    loaded = load_policy(settings)
    ends = loaded.model.generation_config.eos_token_id
    assert loaded.tokenizer.end_ids == expected
    assert ends in (eos, list(expected))


def test_a_tokenizer_is_loaded_without_weights(tmp_path):
    policy = make_policy()
    policy.save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    tokenizer = load_tokenizer(ModelSettings(path=str(tmp_path)))
    assert tokenizer.encode("hello") == policy.tokenizer.encode("hello")
    with pytest.raises(BadInput, match="cannot be loaded"):
        load_policy(ModelSettings(path=str(tmp_path)))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(BadInput, match="nowhere': no such folder"):
        load_tokenizer(ModelSettings(path=str(tmp_path / "nowhere")))


def test_a_model_without_chat_template_is_refused(tmp_path):
    policy = make_policy()
    policy.tokenizer.hf.chat_template = None
    policy.save(tmp_path)
    with pytest.raises(BadInput, match="has no chat template"):
        load_policy(ModelSettings(path=str(tmp_path)))


def test_decoding_removes_end_tokens():
    policy = make_policy()
    ids = policy.tokenizer.hf("hello")["input_ids"]
    assert policy.tokenizer.decode([*ids, policy.tokenizer.end_ids[0]]) == "hello"


def test_the_prompt_ends_with_the_generation_prompt():
    policy = make_policy()
    start = policy.tokenizer.hf.convert_tokens_to_ids("<|im_start|>")
    assert policy.tokenizer.encode("hi")[-1] == start
    brief = policy.tokenizer.encode([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}])
    assert brief[:1] == (start,)
    assert len(brief) > len(policy.tokenizer.encode("hi"))


CHAT = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "2 + 2?"},
]


def test_all_messages_go_through_the_template():
    tokenizer = make_policy().tokenizer
    tokenizer.hf.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}: {{ m['content'] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>{% endif %}"
    )
    assert tokenizer.rendered(tokenizer.encode(CHAT)) == (
        "<|im_start|>system: s<|im_end|><|im_start|>user: 1 + 1?<|im_end|>"
        "<|im_start|>assistant: 2<|im_end|><|im_start|>user: 2 + 2?<|im_end|><|im_start|>"
    )


def test_variables_of_the_template():
    tokenizer = make_policy().tokenizer
    tokenizer.hf.chat_template = (
        "{{ messages[-1]['content'] }}"
        "{% if enable_thinking is defined and not enable_thinking %} no thoughts{% endif %}"
    )
    assert tokenizer.rendered(tokenizer.encode("hi")) == "hi"
    assert tokenizer.rendered(tokenizer.encode("hi", {"enable_thinking": False})) == "hi no thoughts"
    assert tokenizer.rendered(tokenizer.encode_within("hi", {"enable_thinking": False}, 99, "drop")) == "hi no thoughts"


def test_messages_that_the_template_refuses_are_an_error_of_the_data():
    tokenizer = make_policy().tokenizer
    tokenizer.hf.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(
        DataError, match=r"refuses messages of roles system, user, assistant, user: System role not supp"
    ):
        tokenizer.encode(CHAT)


@pytest.mark.parametrize(("overlong", "kept"), [("truncate_left", "6789"), ("truncate_right", "0123")])
def test_of_several_messages_the_last_is_cut(overlong, kept):
    tokenizer = make_policy().tokenizer
    earlier, empty = CHAT[:3], {"role": "user", "content": ""}
    limit = len(tokenizer.encode([*earlier, empty])) + 4
    cut = tokenizer.encode_within([*earlier, {"role": "user", "content": "0123456789"}], {}, limit, overlong)
    assert cut == tokenizer.encode([*earlier, {"role": "user", "content": kept}])


def test_earlier_messages_far_over_the_limit_drop_the_prompt():
    earlier = [{"role": "user", "content": "x" * 10_000_000}, {"role": "assistant", "content": "y"}]
    assert make_policy().tokenizer.encode_within([*earlier, CHAT[-1]], {}, 50, "truncate_left") is None


def test_a_template_without_generation_prompt_is_taken_as_it_is():
    policy = make_policy()
    with_prompt = policy.tokenizer.encode("hi")
    policy.tokenizer.hf.chat_template = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    assert policy.tokenizer.encode("hi") == with_prompt[:-1]


@pytest.mark.parametrize(
    ("overlong", "kept"), [("drop", None), ("truncate_left", "6789"), ("truncate_right", "0123")], ids=lambda v: str(v)
)
def test_a_prompt_over_the_limit_is_dropped_or_cut_and_keeps_its_template(overlong, kept):
    policy = make_policy()
    template = len(policy.tokenizer.encode(""))
    assert policy.tokenizer.encode_within("0123", {}, template + 4, overlong) == policy.tokenizer.encode("0123")
    cut = policy.tokenizer.encode_within("0123456789", {}, template + 4, overlong)
    assert cut == (None if kept is None else policy.tokenizer.encode(kept))


def test_a_prompt_whose_template_alone_is_too_long_is_dropped():
    policy = make_policy()
    assert (
        policy.tokenizer.encode_within(
            [{"role": "system", "content": "a long system message"}, {"role": "user", "content": "hello"}],
            {},
            10,
            "truncate_left",
        )
        is None
    )


def test_a_cut_that_changes_the_tokens_beside_it_still_fits():
    policy = make_policy()
    template = len(policy.tokenizer.encode(""))
    # Each of these signs is three byte tokens; half a sign decodes to U+FFFD, which is three tokens again.
    for limit in range(1, 12):
        ids = policy.tokenizer.encode_within("\u4e2d\u6587\u5b57\u7b26", {}, template + limit, "truncate_left")
        assert ids is None or len(ids) <= template + limit


@pytest.mark.parametrize("overlong", ["drop", "truncate_left", "truncate_right"])
def test_of_a_prompt_far_over_the_limit_only_a_part_is_tokenized(overlong):
    tokenizer = make_policy().tokenizer
    most = tokenizer.most_characters(50)
    assert len(tokenizer.encode("x" * most)) > 50
    read: list[int] = []

    class Measured:
        def __getattr__(self, name):
            return getattr(tokenizer.hf, name)

        def __call__(self, text, **options):
            read.append(len(text))
            return tokenizer.hf(text, **options)

        def apply_chat_template(self, messages, **options):
            read.append(len(messages[-1]["content"]))
            return tokenizer.hf.apply_chat_template(messages, **options)

    text = "ab" * 10_000_000 + "c"
    found = replace(tokenizer, hf=Measured()).encode_within(text, {}, 50, overlong)
    assert max(read, default=0) <= most
    if overlong == "drop":
        assert found is None
    else:
        # The same as of a shorter text with the same beginning or end.
        short = text[-2 * most :] if overlong == "truncate_left" else text[: 2 * most]
        assert found == tokenizer.encode_within(short, {}, 50, overlong)
        assert len(found) <= 50


def test_a_variable_that_the_template_lacks_would_have_no_effect():
    tokenizer = make_policy().tokenizer
    tokenizer.hf.chat_template = "{{ messages[0]['content'] }}{% if enable_thinking %}<think>{% endif %}"
    assert tokenizer.rendered(tokenizer.encode("a", {"enable_thinking": False})) == "a"
    for name in ("enable_thinkin", "thinking", "max_length"):
        with pytest.raises(DataError, match=f"the model's chat template has no variable '{name}'; remove it"):
            tokenizer.encode("a", {name: False})
