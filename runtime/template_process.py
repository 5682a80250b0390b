"""The process that renders chat templates, which are programs that come with a checkpoint.

A template may loop for ever, double a string forty times, or look for a way out of jinja's sandbox.
None of that can be counted from inside jinja, so templates are rendered here: by a process with
bounds on its time and memory, without the environment's secrets, that nobody waits for in vain.
It is run by its path and imports the standard library and jinja2 alone, so that it is there soon.

Frames on both pipes, of JSON, are those of `constrained/child.py`. The environment is that of
`transformers.utils.chat_template_utils`, which templates are written for.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, BinaryIO

from jinja2 import Template, TemplateError, ext, nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MEMORY_BYTES = 1 << 30  # address space of the process
MAX_CHARS = 8 << 20  # of what a template writes
MAX_TEMPLATES = 64  # compiled ones that are kept
# What reasoning may be called in a message; the first is what templates read.
REASONING = ("reasoning_content", "thinking", "reasoning")
MARK = "CONTINUE_THE_LAST_MESSAGE "  # with a space, to see whether the template strips


class _Generation(ext.Extension):
    """`{% generation %}`: the template's note of what the assistant says; its text stays."""

    tags = {"generation"}  # noqa: RUF012  (jinja's own declaration)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _Names(Namespace):
    """`namespace()`, without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        given = dict(*args[1:], **kwargs)
        for name in given:
            _refuse_private(name)
        Namespace.__init__(args[0], given)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace has no attribute {name!r}: it begins with an underscore")


class _Dict:
    """`dict`, to be called, and nothing to be climbed from."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML's escapes, unlike jinja's own filter."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(MAX_TEMPLATES)
def _compile(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _raise,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "dict": _Dict(),
        "namespace": _Names,
    }
    return environment.from_string(template)


def render(template: str, variables: dict[str, Any], *, is_continued: bool) -> str:
    """Render a conversation, `variables["messages"]`.

    Args:
        template: jinja.
        variables: what the template sees.
        is_continued: end inside the last message, right behind its content.

    Raises:
        Exception: whatever the template does wrong.
    """
    messages = [_with_reasoning(message) for message in variables["messages"]]
    last = messages[-1].get("content") if is_continued and messages else None
    if is_continued:
        if not isinstance(last, str):
            raise TemplateError("the last message has no text to continue")
        messages[-1] = {**messages[-1], "content": last + MARK}
    text = "".join(_bounded(_compile(template).generate({**variables, "messages": messages})))
    if not isinstance(last, str):
        return text
    at = text.rfind(MARK.strip())
    if at < 0 or last.strip() not in text:
        raise TemplateError("the template leaves out the message that is to be continued")
    return text[:at] if text[at:].startswith(MARK) else text[:at].rstrip()


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """Give a message's reasoning every name that templates read it by."""
    found = next((message[name] for name in REASONING if message.get(name) is not None), None)
    if found is None:
        return message
    return {"thinking": found, **message, "reasoning_content": found}


def _bounded(pieces: Iterator[str]) -> Iterator[str]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > MAX_CHARS:
            raise TemplateError(f"the template writes more than {MAX_CHARS} characters")
        yield piece


def _answer(request: dict[str, Any], cpu_s: float) -> dict[str, str]:
    signal.setitimer(signal.ITIMER_PROF, cpu_s)  # nothing handles its signal: it ends the process
    try:
        return {"text": render(**request)}
    except MemoryError:
        return {"error": f"the template needs more than {MEMORY_BYTES >> 20} MiB"}
    except RecursionError:
        return {"error": "the template nests too deeply"}
    except Exception as error:
        return {"error": str(error) or type(error).__name__}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def serve(requests: BinaryIO, answers: BinaryIO, cpu_s: float) -> None:
    """Answer until the pipe ends, or a rendering has taken `cpu_s` seconds of this process."""
    read: Callable[[int], bytes] = requests.read
    while head := read(8):
        request = json.loads(read(int.from_bytes(head, "big")))
        data = json.dumps(_answer(request, cpu_s)).encode()
        answers.write(len(data).to_bytes(8, "big") + data)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with suppress(ValueError, OSError):  # macOS has no such bound
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    serve(sys.stdin.buffer, sys.stdout.buffer, float(sys.argv[1]))
