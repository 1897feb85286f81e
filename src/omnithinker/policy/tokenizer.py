"""The tokenizer of a chat model, loaded without the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from weakref import WeakKeyDictionary

from omnithinker.config.model import ModelSettings
from omnithinker.errors import BadInput, DataError, reason_of
from omnithinker.policy import adapter
from omnithinker.policy.source import loadable, locate_model, reading_model
from omnithinker.tasks.messages import Message

_LONGEST: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
"""Characters of the longest token of a transformers tokenizer."""


@dataclass(frozen=True, slots=True)
class ChatTokenizer:
    """Text to tokens through a chat template, and back."""

    hf: Any
    """transformers tokenizer with a chat template."""
    end_ids: tuple[int, ...]
    """Tokens that end a completion."""

    def encode(
        self, messages: str | Sequence[Message], template_kwargs: Mapping[str, Any] = MappingProxyType({})
    ) -> tuple[int, ...]:
        """Render messages with the chat template, generation prompt included.

        Args:
            messages: Messages, or the text of a single user message.
            template_kwargs: Variables of the chat template.

        Raises:
            DataError: if the template refuses the messages or lacks a variable; the message has no place.
        """
        for name in template_kwargs:
            if not re.search(rf"\b{re.escape(name)}\b", str(self.hf.chat_template)):
                raise DataError(f"chat_template_kwargs: the model's chat template has no variable {name!r}; remove it")
        chat = _as_messages(messages)
        try:
            ids = self.hf.apply_chat_template(
                [dict(message) for message in chat], add_generation_prompt=True, return_dict=True, **template_kwargs
            )
        except Exception as error:  # the template is a program of the model's folder
            roles = ", ".join(message["role"] for message in chat)
            reason = reason_of(error)
            raise DataError(f"the model's chat template refuses messages of roles {roles}: {reason}") from error
        return tuple(ids["input_ids"])

    def most_characters(self, limit: int) -> int:
        """Return a number of characters that takes more than ``limit`` tokens, whatever the characters are."""
        if self.hf not in _LONGEST:
            _LONGEST[self.hf] = max(map(len, self.hf.get_vocab()))
        return (limit + 1) * _LONGEST[self.hf]

    def encode_within(
        self,
        messages: str | Sequence[Message],
        template_kwargs: Mapping[str, Any],
        limit: int,
        overlong: Literal["drop", "truncate_left", "truncate_right"],
    ) -> tuple[int, ...] | None:
        """Encode with at most ``limit`` tokens: drop (None) or truncate a longer user message, the last one.

        None too if the template and the other messages alone exceed the limit.
        """
        *others, last = _as_messages(messages)
        text, most = last["content"], self.most_characters(limit)
        if sum(len(message["content"]) for message in others) > most:
            return None
        if len(text) > most:  # tokenizing tens of megabytes takes minutes
            if overlong == "drop":
                return None
            text = text[-most:] if overlong == "truncate_left" else text[:most]

        def encoded(content: str) -> tuple[int, ...]:
            return self.encode([*others, {**last, "content": content}], template_kwargs)

        ids = encoded(text)
        content = self.hf(text, add_special_tokens=False)["input_ids"]
        keep = len(content) if overlong != "drop" else 0
        # The text around the cut may tokenize differently, so the result is measured again.
        while len(ids) > limit:
            keep -= len(ids) - limit
            if keep <= 0:
                return None
            part = content[-keep:] if overlong == "truncate_left" else content[:keep]
            ids = encoded(str(self.hf.decode(part)))
        return ids

    def rendered(self, token_ids: Sequence[int]) -> str:
        """Return the text of a prompt as the model sees it, special tokens included."""
        return str(self.hf.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of a completion, end tokens removed."""
        kept = [token for token in token_ids if token not in self.end_ids]
        return str(self.hf.decode(kept, skip_special_tokens=True))


def _as_messages(messages: str | Sequence[Message]) -> Sequence[Message]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages


def load_tokenizer(settings: ModelSettings, path: str | Path | None = None) -> ChatTokenizer:
    """Load the tokenizer of a model, and the model's end tokens, without its weights.

    Args:
        settings: path of the model, unless ``path`` is given.
        path: folder to load from instead, such as a checkpoint.

    Raises:
        BadInput: if there is no such model, or it has no chat template.
    """
    import transformers

    source = loadable(locate_model(path or settings.path))
    with reading_model(source):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=settings.trust_remote_code)
        ends = _end_ids(source, settings)
    if tokenizer.chat_template is None:
        raise BadInput(f"model {source!r} has no chat template; choose an instruction-tuned model or add one")
    if ends is None:
        ends = tokenizer.eos_token_id
    return ChatTokenizer(tokenizer, tuple(ends) if isinstance(ends, list | tuple) else (int(ends),))


def _end_ids(source: str, settings: ModelSettings) -> Any:
    """End tokens by the generation configuration, or by the model's where there is none."""
    import transformers

    base = adapter.base_of(source)
    if base is not None:
        return _end_ids(loadable(locate_model(base)), settings)
    try:
        return transformers.GenerationConfig.from_pretrained(source).eos_token_id
    except OSError:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=settings.trust_remote_code)
        return transformers.GenerationConfig.from_model_config(config).eos_token_id
