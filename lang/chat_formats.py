"""How known families of models write the turns of a conversation, as data.

The marks are those of each family's published chat template, under SGLang's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..ir.roles import PLAIN

ROLES = ("system", "user", "assistant")
Parts = dict[str, tuple[str, str]]


class Format(NamedTuple):
    """One family's turns.

    Attributes:
        parts: role -> prefix and suffix.
        stop: strings that end a turn.
        system: the system prompt where a conversation has none.
        image: what stands for an image.
        is_shared: a first system's text stands inside the turn of the user after it.
        preamble: what stands before the first turn.
    """

    parts: Parts
    stop: tuple[str, ...] = ()
    system: str | None = None
    image: str = "<image>"
    is_shared: bool = False
    preamble: str = ""


def _same(prefix: str, suffix: str) -> Parts:
    """Turns that differ in the role's name alone, for which `{}` stands."""
    return {role: (prefix.format(role), suffix) for role in ROLES}


def _by_role(*parts: tuple[str, str]) -> Parts:
    """Turns of system, user and assistant, in this order."""
    return dict(zip(ROLES, parts, strict=True))


_HELPFUL = "You are a helpful assistant."
_VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
_YI_VL = (
    "This is a chat between an inquisitive human and an AI assistant. Assume the role of the AI "
    "assistant. Read all the images carefully, and respond to the human's questions with "
    "informative, helpful, detailed and polite answers."
)
_CHATML = _same("<|im_start|>{}\n", "<|im_end|>\n")
_CHATML_STOP = ("<|im_end|>",)
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
_DEEPSEEK_END = "<\uff5cend\u2581of\u2581sentence\uff5c>"
_DEEPSEEK = _by_role(
    ("", ""), ("<\uff5cUser\uff5c>", ""), ("<\uff5cAssistant\uff5c>", _DEEPSEEK_END)
)
_JANUS = _by_role(("", "\n\n"), ("<|User|>: ", "\n\n"), ("<|Assistant|>:", _DEEPSEEK_END))
_LLAMA_2 = _by_role(("<<SYS>>\n", "\n<</SYS>>\n\n"), ("[INST] ", " [/INST]"), ("", " </s><s>"))
_MISTRAL = _by_role(
    ("[SYSTEM_PROMPT] ", " [/SYSTEM_PROMPT]"), ("[INST] ", " [/INST]"), ("", " </s><s>")
)
_GEMMA = _by_role(
    ("", "\n\n"),
    ("<start_of_turn>user\n", "<end_of_turn>\n"),
    ("<start_of_turn>model\n", "<end_of_turn>\n"),
)
_GEMMA_4 = _by_role(
    ("<|turn>system\n", "<turn|>\n"),
    ("<|turn>user\n", "<turn|>\n"),
    ("<|turn>model\n", "<turn|>\n"),
)
_DBRX = _by_role(
    ("<|im_start|>system\n", "<|im_end|>"),
    ("\n<|im_start|>user\n", "<|im_end|>"),
    ("\n<|im_start|>assistant\n", "<|im_end|>"),
)
_GLM = _same("<|{}|>\n", "")
_CLAUDE = _by_role(("", ""), ("\n\nHuman: ", ""), ("\n\nAssistant:", ""))
_VICUNA_PARTS = _by_role(("", " "), ("USER:", " "), ("ASSISTANT:", "</s>"))
_YI_VL_PARTS = _by_role(("", "\n\n"), ("### Human:", "\n"), ("### Assistant:", "\n"))
_MINICPM_IMAGE = "(<image>./</image>)"

FORMATS: Mapping[str, Format] = {
    "default": Format(PLAIN.parts),
    "claude": Format(_CLAUDE, ("\n\nHuman:",)),
    "chatml": Format(_CHATML, _CHATML_STOP),
    "chatml-llava": Format(_CHATML, _CHATML_STOP, _HELPFUL, "<image>\n"),
    "qwen": Format(_CHATML, _CHATML_STOP, _HELPFUL),
    "qwen2-vl": Format(
        _CHATML, _CHATML_STOP, _HELPFUL, "<|vision_start|><|image_pad|><|vision_end|>"
    ),
    "vicuna_v1.1": Format(_VICUNA_PARTS, (), _VICUNA, " <image>\n"),
    "llama-2-chat": Format(_LLAMA_2, is_shared=True),
    "mistral": Format(_MISTRAL, ("</s>",), image="[IMG]"),
    "llama-3-instruct": Format(_LLAMA_3, ("<|eot_id|>",), image="<|image|>"),
    "llama-3-instruct-llava": Format(_LLAMA_3, ("<|eot_id|>",), image="<image>\n"),
    "llama-4": Format(_LLAMA_4, ("<|eot|>",), image="<|image|>"),
    "yi-1.5": Format(_YI, _CHATML_STOP),
    "yi-vl": Format(_YI_VL_PARTS, ("###",), _YI_VL, " <image_placeholder>\n"),
    "gemma-it": Format(_GEMMA, ("<end_of_turn>",), is_shared=True),
    "gemma-4-it": Format(_GEMMA_4, ("<turn|>",), image="<|image|>"),
    "dbrx-instruct": Format(_DBRX, _CHATML_STOP),
    "c4ai-command-r": Format(_COMMAND_R, ("<|END_OF_TURN_TOKEN|>",)),
    "internvl-2-5": Format(_CHATML, _CHATML_STOP),
    "interns1": Format(_CHATML, _CHATML_STOP),
    "granite-3-instruct": Format(_GRANITE, ("<|end_of_text|>",)),
    "deepseek-v3": Format(_DEEPSEEK, (_DEEPSEEK_END,)),
    "glm-4v": Format(_GLM, ("<|user|>", "<|endoftext|>"), preamble="[gMASK]<sop>"),
    "minicpmv": Format(_CHATML, (*_CHATML_STOP, "<|endoftext|>"), image=_MINICPM_IMAGE),
    "minicpmo": Format(_CHATML, (*_CHATML_STOP, "<|endoftext|>"), image=_MINICPM_IMAGE),
    "janus": Format(_JANUS, (_DEEPSEEK_END,), image="<image_placeholder>\n"),
    "janus-pro": Format(_JANUS, (_DEEPSEEK_END,), image="<image_placeholder>\n"),
}

PATHS: Mapping[str, str] = {
    r"deepseek-(v3|r1)(?!.*(base|distill))": "deepseek-v3",
    r"janus-pro": "janus-pro",
    r"janus": "janus",
    r"dbrx.*instruct": "dbrx-instruct",
    r"vicuna|llava-v1\.5|llava-next-video-7b": "vicuna_v1.1",
    r"pixtral|mistral-(small-3|medium-3|large-3)": "mistral",
    r"llama-2.*chat|(mistral|mixtral).*instruct|codellama.*instruct": "llama-2-chat",
    r"llama-3.*instruct": "llama-3-instruct",
    r"llava-next-8b|llama3-llava": "llama-3-instruct-llava",
    r"llama-4.*instruct": "llama-4",
    r"yi-vl": "yi-vl",
    r"yi-1\.5.*chat": "yi-1.5",
    r"llava-v1\.6-34b|llava-v1\.6-yi|llava-onevision.*(qwen|ov)|tinyllama.*chat": "chatml-llava",
    r"qwen.*vl": "qwen2-vl",
    r"qwen(?!.*base)": "qwen",
    r"gemma-?4.*it": "gemma-4-it",
    r"gemma.*it": "gemma-it",
    r"c4ai-command-r": "c4ai-command-r",
    r"granite.*instruct": "granite-3-instruct",
    r"minicpm-?v": "minicpmv",
    r"minicpm-?o": "minicpmo",
    r"internvl-?(2[_.-]5|3)": "internvl-2-5",
    r"intern-?s1": "interns1",
    r"glm-4.*v": "glm-4v",
    r"claude": "claude",
    r"chatml": "chatml",
}
"""What a model's path contains -> the name; the first that is found counts."""
