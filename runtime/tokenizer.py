"""The model's tokenizer: text to ids and back, chat templates, and the vocabulary for grammars."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ir.roles import PLAIN, RoleFormat
from .config import ModelConfig
from .errors import InvalidRequestError, ModelLoadError

if TYPE_CHECKING:
    from ..constrained.compiler import GrammarCompiler

Messages = Sequence[Mapping[str, Any]]

MAX_CACHED_GRAMMARS = 256

# Stand-ins for the content of turns when a chat template is taken apart. Two adjacent turns show
# what stands between contents; no template changes plain words like these.
_FIRST, _SECOND, _THIRD = "Alphacontent", "Betacontent", "Gammacontent"


# The lazy module of transformers cannot be imported from by two threads at once ("cannot import
# name 'AutoTokenizer'"), as desk and scheduler of one process do.
_importing = threading.Lock()


class Tokenizer:
    """A Hugging Face fast tokenizer with what the front desk needs. Thread-safe for encoding."""

    def __init__(self, tokenizer: Any, path: str) -> None:
        self._tokenizer = tokenizer
        self.path = path
        self._role_format: RoleFormat | None = None

    @property
    def has_chat_template(self) -> bool:
        """Whether the checkpoint says how conversations are written."""
        return bool(self._tokenizer.chat_template)

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Return the ids of `text`; special tokens written in it are recognised."""
        try:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        except (UnicodeEncodeError, TypeError) as error:
            raise InvalidRequestError(
                f"the text cannot be tokenised; does it hold a lone surrogate? {error}"
            ) from error
        return ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of `ids`; bytes that are not yet a character become U+FFFD."""
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )
        return text

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each id on its own."""
        return [self.decode([token], skip_special_tokens=False) for token in ids]

    def render(
        self,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Return the ids of a conversation written by the model's chat template (sandboxed jinja).

        Raises:
            InvalidRequestError: the template refuses these messages.
        """
        if not self.has_chat_template:
            text = render_plain(messages, PLAIN, add_generation_prompt=add_generation_prompt)
            return self.encode(text)
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=None if tools is None else [dict(tool) for tool in tools],
                tokenize=False,
                add_generation_prompt=add_generation_prompt and not continue_final_message,
                continue_final_message=continue_final_message,
                **(variables or {}),
            )
        except Exception as error:  # whatever a template raises, it is about these messages
            raise InvalidRequestError(
                f"the chat template refuses these messages: {error}"
            ) from error
        return self.encode(text, add_special_tokens=False)

    def role_format(self) -> RoleFormat:
        """How single turns are written, taken from the chat template by rendering probes."""
        if self._role_format is None:
            self._role_format = self._probe() if self.has_chat_template else PLAIN
        return self._role_format

    def _probe(self) -> RoleFormat:
        try:
            return self._take_apart()
        except Exception:  # a template with rules of its own: turns are then written plainly
            return PLAIN

    def _take_apart(self) -> RoleFormat:
        """Find the pieces of the template around stand-ins; a `ValueError` where it has none."""
        first = ("user", _FIRST)
        [head, to_assistant, to_user, _] = self._around(
            first, ("assistant", _SECOND), ("user", _THIRD)
        )
        # What a turn at the end closes with is its suffix, perhaps with more behind it, and the
        # suffix is also what the next turn's prefix follows.
        user_suffix = self._common(to_assistant, self._around(first)[1])
        assistant_suffix = self._common(to_user, self._around(first, ("assistant", _SECOND))[2])
        user_prefix = to_user.removeprefix(assistant_suffix)
        if not head.endswith(user_prefix):
            raise ValueError("turns of a user differ")
        parts = {
            "user": (user_prefix, user_suffix),
            "assistant": (to_assistant.removeprefix(user_suffix), assistant_suffix),
        }
        opening = head.removesuffix(user_prefix)  # of a talk that begins with a user's turn
        bos = str(self._tokenizer.bos_token or "")
        bos = bos if opening.startswith(bos) else ""
        for role in ("system", "tool"):
            try:
                [before, middle, _] = self._around((role, _FIRST), ("user", _SECOND))
            except Exception:  # this template has no such role
                continue
            before = before.removeprefix(opening if role == "tool" else bos)
            parts[role] = (before, middle.removesuffix(user_prefix))
        preamble, default_system = opening.removeprefix(bos), None
        prefix, suffix = parts.get("system", ("", ""))
        if prefix and preamble.startswith(prefix) and preamble.endswith(suffix):
            default_system = preamble.removeprefix(prefix).removesuffix(suffix)
            preamble = ""
        if self.encode("")[:1] != [self._tokenizer.bos_token_id]:  # else the tokenizer adds it
            preamble = bos + preamble
        return RoleFormat(parts=parts, default_system=default_system, preamble=preamble)

    def _around(self, *turns: tuple[str, str]) -> list[str]:
        """Render turns; return what is before, between and behind their contents."""
        messages = [{"role": role, "content": content} for role, content in turns]
        rest: str = self._tokenizer.apply_chat_template(messages, tokenize=False)
        pieces: list[str] = []
        for _, content in turns:
            before, found, rest = rest.partition(content)
            if not found:
                raise ValueError(f"the template changes or drops {content!r}")
            pieces.append(before)
        return [*pieces, rest]

    def _common(self, a: str, b: str) -> str:
        """The longest common beginning that cuts no special token in two."""
        length = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
        length = min(len(a), len(b)) if length is None else length
        for token in self._tokenizer.get_added_vocab():
            for text in (a, b):
                at = text.rfind(token, 0, length + len(token) - 1)
                if 0 <= at < length < at + len(token):
                    length = at
        return a[:length]

    def grammar_compiler(self, vocab_size: int, stop_ids: Sequence[int]) -> GrammarCompiler:
        """A compiler of grammars over this vocabulary."""
        from ..constrained.compiler import GrammarCompiler
        from ..constrained.vocab import Vocabulary

        vocabulary = Vocabulary.from_tokenizer(
            self._tokenizer, vocab_size=vocab_size, stop_ids=stop_ids
        )
        return GrammarCompiler(vocabulary, max_cached=MAX_CACHED_GRAMMARS)


def render_plain(messages: Messages, roles: RoleFormat, *, add_generation_prompt: bool) -> str:
    """Write a conversation in a role format, for models without a chat template."""
    text = roles.preamble
    for message in messages:
        prefix, suffix = roles.part(str(message["role"]))
        text += f"{prefix}{message.get('content') or ''}{suffix}"
    return text + roles.part("assistant")[0] if add_generation_prompt else text


def check_folder(path: str) -> None:
    """Make sure that `path` can be a checkpoint.

    Raises:
        ModelLoadError: it is no folder.
    """
    if not Path(path).is_dir():
        raise ModelLoadError(f"no folder {path!r}; give the folder of a Hugging Face checkpoint")


def load_tokenizer(config: ModelConfig) -> Tokenizer:
    """Load the tokenizer of a checkpoint.

    Raises:
        ModelLoadError: the folder is missing, or holds no tokenizer that can be read.
    """
    path = config.tokenizer_path or config.model_path
    check_folder(path)
    try:
        with _importing:
            from transformers import AutoTokenizer
        return Tokenizer(AutoTokenizer.from_pretrained(path, local_files_only=True), path)
    except Exception as error:
        raise ModelLoadError(f"the tokenizer in {path!r} cannot be loaded: {error}") from error
