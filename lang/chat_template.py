"""Chat templates by name, for models whose own is not at hand.

    backend = rl.OpenAI("my-model", is_chat_model=False, chat_template=get_chat_template("chatml"))
    backend = rl.RuntimeEndpoint("http://host:30000", chat_template_name="llama-3-instruct")

A model with a tokenizer of its own (`Engine`, `RuntimeEndpoint`) writes turns as that says, unless
another is named. The names are SGLang's; what they stand for is in `chat_formats.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..ir.roles import RoleFormat
from .chat_formats import FORMATS, PATHS


class ChatTemplateStyle(Enum):
    """How the system's turn stands beside the first user's."""

    PLAIN = "on its own"
    LLAMA2 = "inside it"


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """How turns are written; SGLang's fields.

    Attributes:
        name: under which it is registered.
        default_system_prompt: inserted before a first turn that is not the system's.
        role_prefix_and_suffix: role -> what stands before and after its turns' content.
        stop_str: strings that end a turn.
        image_token: what stands for an image in the text.
        audio_token: what stands for a sound.
        style: with `LLAMA2` a first system's text is a part of the user's turn after it.
        preamble: what stands before the first turn.
    """

    name: str
    default_system_prompt: str | None
    role_prefix_and_suffix: dict[str, tuple[str, str]]
    stop_str: Sequence[str] = ()
    image_token: str = "<image>"
    audio_token: str = "<audio>"
    style: ChatTemplateStyle = ChatTemplateStyle.PLAIN
    preamble: str = ""

    def role_format(self) -> RoleFormat:
        """The machine's form of it."""
        parts = dict(self.role_prefix_and_suffix)
        after = None
        if self.style is ChatTemplateStyle.LLAMA2:
            user, system = parts["user"], parts["system"]
            parts["system"] = (user[0] + system[0], system[1])
            after = ("", user[1])
        return RoleFormat(
            parts=parts,
            default_system=self.default_system_prompt,
            preamble=self.preamble,
            stop=tuple(self.stop_str),
            user_after_system=after,
        )

    def get_prefix_and_suffix(
        self, role: str, hist_messages: Sequence[Mapping[str, Any]]
    ) -> tuple[str, str]:
        """What stands around a turn's content, given the messages before it."""
        return self.role_format().turn(role, [str(message["role"]) for message in hist_messages])

    def get_prompt(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The messages as one text; a system message of None is the default one, or nothing."""
        said: list[Mapping[str, Any]] = []
        prompt = self.preamble
        for message in messages:
            content = message["content"]
            if content is None and message["role"] == "system":
                content = self.default_system_prompt
            if content is None:
                continue
            prefix, suffix = self.get_prefix_and_suffix(message["role"], said)
            prompt += f"{prefix}{content}{suffix}"
            said.append(message)
        return prompt


Matcher = Callable[[str], ChatTemplate | None]

_templates: dict[str, ChatTemplate] = {}
_matchers: list[Matcher] = []


def register_chat_template(template: ChatTemplate) -> None:
    """Make a template known by its name, in place of any that has it."""
    _templates[template.name] = template


def register_chat_template_matching_function(matcher: Matcher) -> Matcher:
    """Ask `matcher` for the template of a model path, before all that are known already.

    It returns None for a path that it does not know. Usable as a decorator.
    """
    _matchers.insert(0, matcher)
    return matcher


def get_chat_template(name: str) -> ChatTemplate:
    """The template of that name.

    Raises:
        KeyError: there is none; the message lists those there are.
    """
    if name not in _templates:
        raise KeyError(
            f"no chat template is named {name!r}; known: {', '.join(sorted(_templates))}"
        )
    return _templates[name]


def get_chat_template_by_model_path(model_path: str) -> ChatTemplate:
    """The template that fits a model's path or name; "default" where nothing is known of it."""
    found = (matcher(model_path) for matcher in _matchers)
    return next((template for template in found if template), None) or get_chat_template("default")


for _name, _format in FORMATS.items():
    register_chat_template(
        ChatTemplate(
            _name,
            _format.system,
            _format.parts,
            _format.stop,
            image_token=_format.image,
            style=ChatTemplateStyle.LLAMA2 if _format.is_shared else ChatTemplateStyle.PLAIN,
            preamble=_format.preamble,
        )
    )


@register_chat_template_matching_function
def _by_path(model_path: str) -> ChatTemplate | None:
    for pattern, name in PATHS.items():
        if re.search(pattern, model_path, re.IGNORECASE):
            return get_chat_template(name)
    return None
