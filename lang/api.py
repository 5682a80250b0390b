"""The words of the language: `gen`, `select` and the roles. Names and order are SGLang's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..ir.holes import as_options, as_schema
from ..ir.images import image_url
from ..ir.nodes import Gen, Image, RoleBegin, RoleEnd, Sampling, Select
from ..ir.reasoning import find_marks
from ..ir.stop_patterns import check_stop_patterns
from .choices import ChoicesMethod, token_length_normalized
from .errors import UnsupportedError
from .expr import (
    DTYPES,
    NUMBER_STOPS,
    Expr,
    as_expr,
    check_regex,
    logprobs_of,
    schema_text,
)


def gen(
    name: str | None = None,
    max_tokens: int | None = None,
    min_tokens: int | None = None,
    n: int | None = None,
    stop: str | Iterable[str] | None = None,
    stop_token_ids: Iterable[int] | None = None,
    stop_regex: str | Sequence[str] | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    min_p: float | None = None,
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    ignore_eos: bool | None = None,
    return_logprob: bool | None = None,
    logprob_start_len: int | None = None,
    top_logprobs_num: int | None = None,
    return_text_in_logprobs: bool | None = None,
    dtype: type | str | None = None,
    choices: Sequence[str] | None = None,
    choices_method: ChoicesMethod | None = None,
    regex: str | None = None,
    json_schema: Any = None,
    *,
    ebnf: str | None = None,
    gbnf: str | None = None,
    lark: str | None = None,
    structural_tag: Any = None,
    schema_mode: str | None = None,
    property_order: str | None = None,
    whitespace: str | None = None,
    repetition_penalty: float | None = None,
    sampling_seed: int | None = None,
) -> Expr:
    """Generate text and bind it to `name`.

    What is left `None` comes from `run(...)`. With `choices` this is a `select`, and everything
    else about sampling is dropped.

    Args:
        name: variable that holds the text; a list of texts with `n > 1`.
        max_tokens: at most so many tokens.
        min_tokens: at least so many; EOS and stop ids cannot come before.
        n: samples; the program's text goes on with the first.
        stop: strings that end the text; they are cut off.
        stop_token_ids: ids that end it.
        stop_regex: patterns that end it, and are cut off from where they match; what may become
            a match is held back in streams (`ir/stop_patterns.py`).
        temperature: 0 is greedy.
        top_p: nucleus, in (0, 1].
        top_k: the likeliest tokens only; -1 for all.
        min_p: share of the likeliest token's probability below which tokens are dropped.
        frequency_penalty: for each earlier occurrence, in [-2, 2].
        presence_penalty: for having occurred, in [-2, 2].
        ignore_eos: go on after EOS, and ignore `stop_token_ids`.
        return_logprob: report log-probabilities in `s.get_meta_info(name)`.
        logprob_start_len: first prompt position that is scored; output only by default.
        top_logprobs_num: alternatives a position.
        return_text_in_logprobs: with the tokens' texts.
        dtype: `int`, `float`, `bool` or `str`, or their names: the text is one of that type. Goes
            before `regex`, with a warning.
        choices: options, as in `select`.
        choices_method: as in `select`.
        regex: the text matches it (Python's syntax).
        json_schema: the text is a JSON document under it: dict, JSON text, pydantic model,
            dataclass, TypedDict or another type.
        ebnf: the text derives from the rule `root` of this grammar.
        gbnf: the same in llama.cpp's notation.
        lark: the text derives from the rule `start` of this grammar of llguidance's.
        structural_tag: free text with constrained islands, as dict or JSON text.
        schema_mode: "best_effort" also takes keywords of `json_schema` that no mask enforces; the
            text is checked for them, and `finish_reason` is "invalid" where it fails.
        property_order: "any": what objects of `json_schema` name may come in any order.
        whitespace: "flexible": line breaks and indentation may stand in the text of `json_schema`;
            bounded, and compact by default.
        repetition_penalty: for tokens of prompt and output, in (0, 2].
        sampling_seed: makes sampling repeatable.

    Raises:
        re.error: `regex` or `stop_regex` is malformed.
        ValueError: more than one constraint, or a `stop_regex` that cannot end a text.
    """
    if choices is not None:
        return select(name, choices, choices_method=choices_method or token_length_normalized)
    stops = (stop,) if isinstance(stop, str) else None if stop is None else tuple(stop)
    if dtype is not None:
        if regex is not None:
            warnings.warn("gen has both dtype and regex; regex is ignored", stacklevel=2)
        regex, stops = _typed(dtype, stops)
    words = {"regex": regex, "json_schema": json_schema, "ebnf": ebnf}
    words |= {"gbnf": gbnf, "lark": lark, "structural_tag": structural_tag}
    given = [word for word, value in words.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"only one of {' and '.join(given)} can constrain a gen")
    if schema_mode not in (None, "strict", "best_effort"):
        raise ValueError(f"schema_mode is {schema_mode!r}; it must be strict or best_effort")
    if property_order not in (None, "declared", "any"):
        raise ValueError(f"property_order is {property_order!r}; it must be declared or any")
    if whitespace not in (None, "compact", "flexible"):
        raise ValueError(f"whitespace is {whitespace!r}; it must be compact or flexible")
    reported = (return_logprob, logprob_start_len, top_logprobs_num, return_text_in_logprobs)
    return Expr(
        Gen(
            out=name,
            sampling=Sampling(
                max_new_tokens=max_tokens,
                min_new_tokens=min_tokens,
                n=n,
                stop=stops,
                stop_token_ids=None if stop_token_ids is None else tuple(stop_token_ids),
                stop_regex=None if stop_regex is None else check_stop_patterns(stop_regex),
                temperature=temperature,
                top_p=top_p,
                top_k=top_k,
                min_p=min_p,
                frequency_penalty=frequency_penalty,
                presence_penalty=presence_penalty,
                repetition_penalty=repetition_penalty,
                ignore_eos=ignore_eos,
                sampling_seed=sampling_seed,
            ),
            regex=None if regex is None else check_regex(regex),
            ebnf=ebnf,
            json_schema=None if json_schema is None else schema_text(json_schema),
            gbnf=gbnf,
            lark=lark,
            structural_tag=None if structural_tag is None else as_schema(structural_tag),
            schema_mode=schema_mode,
            property_order=property_order,
            whitespace=whitespace,
            logprobs=logprobs_of(*reported),
        )
    )


def gen_int(
    name: str | None = None,
    max_tokens: int | None = None,
    n: int | None = None,
    stop: str | Iterable[str] | None = None,
    stop_token_ids: Iterable[int] | None = None,
    stop_regex: str | Sequence[str] | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    min_p: float | None = None,
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    ignore_eos: bool | None = None,
    return_logprob: bool | None = None,
    logprob_start_len: int | None = None,
    top_logprobs_num: int | None = None,
    return_text_in_logprobs: bool | None = None,
) -> Expr:
    """`gen(dtype=int)`: a whole number, whose value stays a text. All else is as in `gen`."""
    return gen(
        name,
        max_tokens,
        None,
        n,
        stop,
        stop_token_ids,
        stop_regex,
        temperature,
        top_p,
        top_k,
        min_p,
        frequency_penalty,
        presence_penalty,
        ignore_eos,
        return_logprob,
        logprob_start_len,
        top_logprobs_num,
        return_text_in_logprobs,
        int,
    )


def gen_string(
    name: str | None = None,
    max_tokens: int | None = None,
    n: int | None = None,
    stop: str | Iterable[str] | None = None,
    stop_token_ids: Iterable[int] | None = None,
    stop_regex: str | Sequence[str] | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    min_p: float | None = None,
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    ignore_eos: bool | None = None,
    return_logprob: bool | None = None,
    logprob_start_len: int | None = None,
    top_logprobs_num: int | None = None,
    return_text_in_logprobs: bool | None = None,
) -> Expr:
    """`gen(dtype=str)`: words, digits and spaces in double quotes. All else is as in `gen`."""
    return gen(
        name,
        max_tokens,
        None,
        n,
        stop,
        stop_token_ids,
        stop_regex,
        temperature,
        top_p,
        top_k,
        min_p,
        frequency_penalty,
        presence_penalty,
        ignore_eos,
        return_logprob,
        logprob_start_len,
        top_logprobs_num,
        return_text_in_logprobs,
        str,
    )


def _typed(dtype: type | str, stops: tuple[str, ...] | None) -> tuple[str, tuple[str, ...] | None]:
    names = {kind.__name__: kind for kind in DTYPES}
    kind = names.get(dtype) if isinstance(dtype, str) else dtype
    if kind is None or kind not in DTYPES:
        raise RuntimeError(f"dtype is {dtype!r}; it must be one of {', '.join(names)}")
    if kind in (int, float):
        stops = (*(stops or ()), *NUMBER_STOPS)
    return DTYPES[kind], stops


def select(
    name: str | None = None,
    choices: Sequence[str] | None = None,
    temperature: float = 0.0,
    choices_method: ChoicesMethod = token_length_normalized,
) -> Expr:
    """Choose the option that the model finds likeliest, append it and bind it to `name`.

    Args:
        name: variable that holds the chosen option.
        choices: the options, at least one.
        temperature: accepted for SGLang's sake; the choice is by exact scores.
        choices_method: how scores become a choice; see `ir/choices.py`.

    Raises:
        ValueError: no options.
        TypeError: an option that is no text.
    """
    return Expr(Select(out=name, choices=as_options(choices), method=choices_method.name))


def separate_reasoning(expr: Expr, model_type: str, max_tokens: int | None = None) -> Expr:
    """Keep the thinking of a reasoning model out of the text.

    Each gen in `expr` is split on its own: its variable holds the answer, another, called
    `{name}_reasoning_content`, the thinking; only the answer stays in text and messages. A
    constraint of the gen holds for the answer.

    Args:
        expr: gens, and what stands around them.
        model_type: the family that writes them, as in `ir/reasoning.py` ("qwen3", "deepseek-r1").
        max_tokens: of the thinking; after so many it is closed, and the answer begins.

    Raises:
        ValueError: an unknown family, no gen in `expr`, or a bound below 0.
    """
    find_marks(model_type)
    if max_tokens is not None and max_tokens < 0:
        raise ValueError(f"max_tokens of the thinking is {max_tokens}; it must be at least 0")
    if not any(isinstance(statement, Gen) for statement in expr.statements):
        raise ValueError("separate_reasoning needs a gen in its expression; there is none")
    return Expr(
        *(
            msgspec.structs.replace(statement, reasoning=model_type, reasoning_tokens=max_tokens)
            if isinstance(statement, Gen)
            else statement
            for statement in expr.statements
        )
    )


def image(source: Any) -> Expr:
    """Show the model an image, in a turn of the user.

    Args:
        source: a path, the bytes of a PNG, JPEG, GIF or WebP file, a PIL image, or a URL.

    Raises:
        FileNotFoundError: no file is there.
        ValueError: it is no image of these kinds.
        TypeError: something else.
    """
    return Expr(Image(url=image_url(source)))


def video(path: Any, num_frames: int) -> Expr:
    """Refuses: no backend takes a video.

    Raises:
        UnsupportedError: always.
    """
    raise UnsupportedError(
        f"video({str(path)!r}): no backend takes a video",
        hint=f"Take {num_frames} frames with a video library, and give each to image().",
    )


def role(name: str, content: Expr | str | None = None) -> Expr:
    """Wrap `content` in a turn of any role."""
    if content is None:
        raise ValueError(f"{name}() needs its content; {name}_begin() opens a turn")
    inner = as_expr(content)
    assert inner is not None
    return Expr(RoleBegin(role=name), *inner.statements, RoleEnd(role=name))


def system(content: Expr | str | None = None) -> Expr:
    """A turn of the system."""
    return role("system", content)


def user(content: Expr | str | None = None) -> Expr:
    """A turn of the user."""
    return role("user", content)


def assistant(content: Expr | str | None = None) -> Expr:
    """A turn of the assistant."""
    return role("assistant", content)


def system_begin() -> Expr:
    """Open a turn of the system."""
    return Expr(RoleBegin(role="system"))


def system_end() -> Expr:
    """Close the system's turn."""
    return Expr(RoleEnd(role="system"))


def user_begin() -> Expr:
    """Open a turn of the user."""
    return Expr(RoleBegin(role="user"))


def user_end() -> Expr:
    """Close the user's turn."""
    return Expr(RoleEnd(role="user"))


def assistant_begin() -> Expr:
    """Open a turn of the assistant."""
    return Expr(RoleBegin(role="assistant"))


def assistant_end() -> Expr:
    """Close the assistant's turn."""
    return Expr(RoleEnd(role="assistant"))
