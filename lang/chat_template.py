"""Chat templates by name, for completion models whose service does not write the turns itself.

    backend = rl.OpenAI("my-model", is_chat_model=False, chat_template=get_chat_template("chatml"))

A model with a tokenizer of its own (`Engine`, `RuntimeEndpoint`) writes turns as that says, and
needs nothing from here. The names are SGLang's. Left out are its templates that put the system's
text into the user's first turn (llama-2-chat, gemma-it), as each turn is written by its role alone
here, and those of models that see images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..ir.roles import PLAIN, RoleFormat

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """How turns are written; SGLang's fields.

    Attributes:
        name: under which it is registered.
        default_system_prompt: inserted before a first turn that is not the system's.
        role_prefix_and_suffix: role -> what stands before and after its turns' content.
        stop_str: strings that end a turn.
    """

    name: str
    default_system_prompt: str | None
    role_prefix_and_suffix: dict[str, tuple[str, str]]
    stop_str: Sequence[str] = ()

    def role_format(self) -> RoleFormat:
        """The machine's form of it."""
        return RoleFormat(
            parts=self.role_prefix_and_suffix,
            default_system=self.default_system_prompt,
            stop=tuple(self.stop_str),
        )


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


def _same(prefix: str, suffix: str) -> dict[str, tuple[str, str]]:
    """Turns that differ in the role's name alone, for which `{}` stands."""
    return {role: (prefix.format(role), suffix) for role in ROLES}


def _by_role(*parts: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """Turns of system, user and assistant, in this order."""
    return dict(zip(ROLES, parts, strict=True))


_HELPFUL = "You are a helpful assistant."
_VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
_CHATML = _same("<|im_start|>{}\n", "<|im_end|>\n")
_YI = _by_role(
    ("", ""),
    ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
    ("", "<|im_end|>\n"),
)
_COMMAND_R = _by_role(
    ("<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    ("<|START_OF_TURN_TOKEN|><|USER_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    ("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
)
_LLAMA_3 = _same("<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>")
_LLAMA_4 = _same("<|header_start|>{}<|header_end|>\n\n", "<|eot|>")
_GRANITE = _same("<|start_of_role|>{}<|end_of_role|>", "<|end_of_text|>\n")

for _template in (
    ChatTemplate("default", None, PLAIN.parts),
    ChatTemplate("chatml", None, _CHATML, ("<|im_end|>",)),
    ChatTemplate("qwen", _HELPFUL, _CHATML, ("<|im_end|>",)),
    ChatTemplate("yi-1.5", None, _YI, ("<|im_end|>",)),
    ChatTemplate(
        "vicuna_v1.1", _VICUNA, _by_role(("", " "), ("USER:", " "), ("ASSISTANT:", "</s>"))
    ),
    ChatTemplate("llama-3-instruct", None, _LLAMA_3, ("<|eot_id|>",)),
    ChatTemplate("llama-4", None, _LLAMA_4, ("<|eot|>",)),
    ChatTemplate("c4ai-command-r", None, _COMMAND_R, ("<|END_OF_TURN_TOKEN|>",)),
    ChatTemplate("granite-3-instruct", None, _GRANITE, ("<|end_of_text|>",)),
):
    register_chat_template(_template)

# What a model's path contains -> the template; the first that is found counts.
_PATHS = {
    r"vicuna": "vicuna_v1.1",
    r"llama-3.*instruct": "llama-3-instruct",
    r"llama-4.*instruct": "llama-4",
    r"yi-1\.5.*chat": "yi-1.5",
    r"qwen(?!.*vl)": "qwen",
    r"c4ai-command-r": "c4ai-command-r",
    r"granite.*instruct": "granite-3-instruct",
    r"chatml": "chatml",
}


@register_chat_template_matching_function
def _by_path(model_path: str) -> ChatTemplate | None:
    for pattern, name in _PATHS.items():
        if re.search(pattern, model_path, re.IGNORECASE):
            return get_chat_template(name)
    return None
