"""The model's tokenizer: text to ids and back, chat templates, and the vocabulary for grammars."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..ir.roles import PLAIN, RoleFormat
from .chat_template import PROBE, ChatTemplate, Messages, joined
from .config import ModelConfig
from .errors import InvalidRequestError, ModelLoadError
from .gguf.file import GGUFFile
from .template import TemplateFailure

if TYPE_CHECKING:
    from ..constrained.compiler import GrammarCompiler
    from ..constrained.forced import Spelling
    from ..constrained.vocab import Vocabulary

MAX_CACHED_GRAMMARS = 256

# Stand-ins for the content of turns when a chat template is taken apart. Two adjacent turns show
# what stands between contents; no template changes plain words like these.
_FIRST, _SECOND, _THIRD = PROBE, "Betacontent", "Gammacontent"
# What a request says elsewhere than among a template's variables, and arguments of the function of
# `transformers` that are none: who gives them expects what would not happen.
_OWN_VARIABLES = frozenset({"messages", "tools", "add_generation_prompt"}) | {
    *("chat_template", "continue_final_message", "tokenize", "return_dict", "return_tensors"),
}
# What stands before a text in the middle of a sequence while that is tokenised: no vocabulary has
# a token of it and something else.
_BEFORE = "\x01"


# The lazy module of transformers cannot be imported from by two threads at once ("cannot import
# name 'AutoTokenizer'"), as desk and scheduler of one process do.
_importing = threading.Lock()


class Tokenizer:
    """A Hugging Face fast tokenizer with what the front desk needs. Thread-safe for encoding."""

    def __init__(self, tokenizer: Any, path: str) -> None:
        self._tokenizer = tokenizer
        self.path = path
        self._template = ChatTemplate(tokenizer)
        self._role_format: RoleFormat | None = None

    @property
    def has_chat_template(self) -> bool:
        """Whether the checkpoint says how conversations are written."""
        return bool(self._tokenizer.chat_template)

    @property
    def template_text(self) -> str:
        """The chat template, or all of them where there are several; empty: there is none."""
        template = self._tokenizer.chat_template or ""
        return "\n".join(template.values()) if isinstance(template, dict) else template

    @cached_property
    def special_texts(self) -> frozenset[str]:
        """The texts of special tokens, which `decode` may leave out."""
        added = self._tokenizer.added_tokens_decoder.values()
        return frozenset(str(token) for token in added if token.special)

    def holds_special(self, text: str) -> bool:
        """Whether the text of a special token is in a text."""
        return self._special_text.search(text) is not None

    @cached_property
    def _special_text(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, sorted(self.special_texts))) or "(?!)")

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Return the ids of `text`; special tokens written in it are recognised."""
        try:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        except (UnicodeEncodeError, TypeError) as error:
            raise InvalidRequestError(
                f"the text cannot be tokenised; does it hold a lone surrogate? {error}"
            ) from error
        return ids

    def encode_literal(self, text: str, *, opens: bool) -> list[int]:
        """Return the ids of a literal text of a program.

        The text that opens a sequence is encoded as any is, but for a talk in the chat template's
        form: that has a BOS if the template writes one, whatever the tokenizer adds to texts
        (Phi-3's adds one that its template lacks). A text behind other ids gets neither a BOS nor
        the space that SentencePiece puts at the beginning of a text.
        """
        if opens:
            is_talk = text.startswith(self._openings_without_bos)
            return self.encode(text, add_special_tokens=not is_talk)
        if not self.adds_space:
            return self.encode(text, add_special_tokens=False)
        before = self.encode(_BEFORE, add_special_tokens=False)
        return self.encode(_BEFORE + text, add_special_tokens=False)[len(before) :]

    @cached_property
    def adds_space(self) -> bool:
        """Whether a text's beginning is encoded as if a space stood before it, and decoded without.

        So it is for SentencePiece's vocabularies, as Llama 2's.
        """
        first = self.encode("a", add_special_tokens=False)
        before = self.encode(_BEFORE, add_special_tokens=False)
        both = self.encode(_BEFORE + "a", add_special_tokens=False)
        return both[: len(before)] == before and both[len(before) :] != first

    @cached_property
    def _openings_without_bos(self) -> tuple[str, ...]:
        """What talks begin with that must not get the BOS which the tokenizer adds to texts."""
        roles, bos = self.role_format(), self._tokenizer.bos_token
        if roles is PLAIN or bos is None or not self._adds_bos:
            return ()
        if self._template.write([{"role": "user", "content": _FIRST}]).startswith(bos):
            return ()
        openings = (roles.preamble, *(prefix for prefix, _ in roles.parts.values()))
        return tuple(opening for opening in openings if opening)

    @cached_property
    def _adds_bos(self) -> bool:
        return self.encode("")[:1] == [self._tokenizer.bos_token_id]

    def is_opening(self, ids: Sequence[int]) -> bool:
        """Whether `ids` hold no text yet that others could follow."""
        return not ids or list(ids) == [self._tokenizer.bos_token_id]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of `ids`; bytes that are not yet a character become U+FFFD."""
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )
        return text

    def decode_after(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text that `ids` add to a text before them, which ends in a whole character."""
        if not ids:
            return ""
        before, length = self._before
        return self.decode([*before, *ids], skip_special_tokens=skip_special_tokens)[length:]

    @cached_property
    def _before(self) -> tuple[list[int], int]:
        """Ids that others are decoded behind, where that matters, and the length of their text."""
        ids = self.encode("a", add_special_tokens=False)
        alone = "".join(self.decode([token]) for token in (*ids, *ids))
        text = self.decode(ids)
        return ([], 0) if self.decode([*ids, *ids]) == alone else (ids, len(text))

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each id on its own, as it is behind others."""
        return [self.decode_after([token], skip_special_tokens=False) for token in ids]

    def render(
        self,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        variables: Mapping[str, Any] | None = None,
        image_mark: str = "",
    ) -> list[int]:
        """Return the ids of a conversation written by the model's chat template (sandboxed jinja).

        See `ChatTemplate.write` for what content may be.

        Raises:
            InvalidRequestError: the template refuses these messages.
        """
        if not self.has_chat_template:
            messages = [joined(message, image_mark) for message in messages]
            text = render_plain(messages, PLAIN, add_generation_prompt=add_generation_prompt)
            return self.encode(text)
        if taken := sorted(_OWN_VARIABLES.intersection(variables or ())):
            raise InvalidRequestError(f"a chat template's {', '.join(taken)} cannot be set")
        try:
            text = self._template.write(
                messages,
                tools=tools,
                add_generation_prompt=add_generation_prompt and not continue_final_message,
                is_continued=continue_final_message,
                variables=variables,
                image_mark=image_mark,
            )
        except TemplateFailure as error:
            raise InvalidRequestError(
                f"the chat template refuses these messages: {error}"
            ) from error
        return self.encode(text, add_special_tokens=False)

    def image_marks(self, image_mark: str) -> tuple[str, str]:
        """Return what stands before and behind an image in a turn; see `ChatTemplate`."""
        return self._template.image_marks(image_mark) if self.has_chat_template else ("", "")

    def role_format(self) -> RoleFormat:
        """How single turns are written, taken from the chat template by rendering probes."""
        if self._role_format is None:
            self._role_format = self._probe() if self.has_chat_template else PLAIN
        return self._role_format

    def _probe(self) -> RoleFormat:
        try:
            return self._take_apart()
        except (TemplateFailure, ValueError):  # rules of its own: turns are then written plainly
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
            except (TemplateFailure, ValueError):  # this template has no such role
                continue
            before = before.removeprefix(opening if role == "tool" else bos)
            parts[role] = (before, middle.removesuffix(user_prefix))
        preamble, default_system = opening.removeprefix(bos), None
        prefix, suffix = parts.get("system", ("", ""))
        if prefix and preamble.startswith(prefix) and preamble.endswith(suffix):
            default_system = preamble.removeprefix(prefix).removesuffix(suffix)
            preamble = ""
        if not self._adds_bos:
            preamble = bos + preamble
        return RoleFormat(parts=parts, default_system=default_system, preamble=preamble)

    def _around(self, *turns: tuple[str, str]) -> list[str]:
        """Render turns; return what is before, between and behind their contents."""
        messages = [{"role": role, "content": content} for role, content in turns]
        rest = self._template.write(messages)
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

    def tokens_from(self, first: int, *, added: bool) -> dict[str, int]:
        """Return those with ids from `first` on: of the trained vocabulary, or added to it."""
        extra: dict[str, int] = self._tokenizer.get_added_vocab()
        every: dict[str, int] = self._tokenizer.get_vocab()
        return {
            text: token
            for text, token in every.items()
            if token >= first and (text in extra) is added
        }

    def vocabulary(self, vocab_size: int, stop_ids: Sequence[int]) -> Vocabulary:
        """What grammars know of this tokenizer, for logits of a width; some 0.3 s."""
        from ..constrained.vocab import Vocabulary

        return Vocabulary.from_tokenizer(self._tokenizer, vocab_size=vocab_size, stop_ids=stop_ids)

    def grammar_compiler(
        self, vocabulary: Vocabulary, backend: str, folder: Path | None
    ) -> GrammarCompiler:
        """A compiler of grammars over a vocabulary of this tokenizer.

        Args:
            vocabulary: of the logits' width.
            backend: its back end.
            folder: where what is dear to compile is kept; None: nowhere.
        """
        from ..constrained.compiler import GrammarCompiler

        return GrammarCompiler(
            vocabulary, max_cached=MAX_CACHED_GRAMMARS, backend=backend, folder=folder
        )

    def spelling(self, vocabulary: Vocabulary) -> Spelling:
        """What spells forced texts in the tokens of a vocabulary of this tokenizer."""
        from ..constrained.forced import Spelling

        encode = partial(self.encode, add_special_tokens=False)
        encode("")  # by which the tokenizer forgets truncation and padding
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return Spelling(vocabulary, encode)
        # The same without what `transformers` wraps around it: 25 µs for a short text, and not 75.
        return Spelling(vocabulary, lambda text: backend.encode(text, add_special_tokens=False).ids)


def render_plain(messages: Messages, roles: RoleFormat, *, add_generation_prompt: bool) -> str:
    """Write a conversation in a role format, for models without a chat template."""
    text = roles.preamble
    for message in messages:
        prefix, suffix = roles.part(str(message["role"]))
        text += f"{prefix}{message.get('content') or ''}{suffix}"
    return text + roles.part("assistant")[0] if add_generation_prompt else text


def load_tokenizer(config: ModelConfig) -> Tokenizer:
    """Load the tokenizer of a checkpoint.

    Raises:
        ModelLoadError: the folder holds no tokenizer that can be read.
    """
    path = config.tokenizer_path or config.model_path
    try:
        if path.endswith(".gguf"):
            with _importing:
                from .gguf.vocabulary import read_tokenizer
            return Tokenizer(read_tokenizer(GGUFFile.read(Path(path))), path)
        with _importing:
            from transformers import AutoTokenizer
        return Tokenizer(AutoTokenizer.from_pretrained(path, local_files_only=True), path)
    except ModelLoadError:
        raise
    except Exception as error:
        raise ModelLoadError(f"the tokenizer in {path!r} cannot be loaded: {error}") from error
