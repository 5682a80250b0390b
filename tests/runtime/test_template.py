from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from radixlm.runtime.template import Renderer, TemplateFailure

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    found = Renderer(cpu_s=0.5)
    yield found
    found.close()


def render(renderer: Renderer, template: str, **variables: Any) -> str:
    return renderer.render(template, {"messages": MESSAGES, **variables})


TEMPLATES = {
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}": "user: Hi",
    "{{ '<a & b>' | tojson }} {{ {'x': [1, none]} | tojson(indent=1) }}": (
        '"<a & b>" {\n "x": [\n  1,\n  null\n ]\n}'
    ),
    "{% set n = namespace(x=1) %}{% for i in 'ab' %}{% set n.x = n.x + 2 %}{% endfor %}{{ n.x }}": (
        "5"
    ),
    "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}": "01",
    "a{% generation %}{{ messages[0].content }}{% endgeneration %}b": "aHib",
    "{{ strftime_now('%Y') | length }}{{ dict(a=1).a }}": "41",
    "  {% if true %}\n  x\n  {% endif %}\n": "  x\n",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_have_what_transformers_gives_them(template: str, renderer: Renderer) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    expected, _ = render_jinja_template([MESSAGES], chat_template=template)  # type: ignore[no-untyped-call]
    assert render(renderer, template) == TEMPLATES[template] == expected[0]


HOSTILE = {
    "a loop without end": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    ),
    "a great power": "{{ 9 ** (9 ** 9) }}",
    "a great output": "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "a long string": "{{ 'x' * 9999999999 }}",
    "a string that doubles": (
        "{% set n = namespace(s='xxxx') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}"
        "{% endfor %}{{ n.s | length }}"
    ),
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a wide format": "{{ '%99999999999d' % 1 }}",
    "a class": "{{ ''.__class__.__mro__[1].__subclasses__() | length }}",
    "a class by a filter": "{{ (messages | attr('__class__')).mro() }}",
    "globals": "{{ raise_exception.__globals__['json'] }}",
    "a format's attribute": "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "a namespace's class": "{% set n = namespace(__class__=1) %}{{ n }}",
    "a change of what it is given": "{{ messages.append(1) }}",
    "another file": "{% include '/etc/passwd' %}",
    "no jinja": "{% for %}",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_template_must_not_do_is_refused_and_the_next_is_served(
    what: str, renderer: Renderer
) -> None:
    with pytest.raises(TemplateFailure):
        render(renderer, HOSTILE[what])
    assert render(renderer, "{{ messages[0].content }}") == "Hi"


def test_the_reason_is_told(renderer: Renderer) -> None:
    with pytest.raises(TemplateFailure, match=r"more than 0\.5 s"):
        render(renderer, HOSTILE["a loop without end"])
    with pytest.raises(TemplateFailure, match="characters"):
        render(renderer, HOSTILE["a great output"])
    with pytest.raises(TemplateFailure, match="MiB"):
        render(renderer, HOSTILE["a long string"])
    with pytest.raises(TemplateFailure, match="no system here"):
        render(renderer, "{{ raise_exception('no system here') }}")


def test_reasoning_is_found_under_each_of_its_names(renderer: Renderer) -> None:
    messages = [{"role": "assistant", "content": "x", "reasoning": "why"}]
    template = "{{ messages[0].reasoning_content }} {{ messages[0].thinking }}"
    assert renderer.render(template, {"messages": messages}) == "why why"


@pytest.mark.parametrize("content", ["One, ", "One"])
@pytest.mark.parametrize("strips", [False, True])
def test_a_last_message_is_continued_where_its_content_ends(
    content: str, strips: bool, renderer: Renderer
) -> None:
    template = f"<{{{{ messages[-1].content{' | trim' if strips else ''} }}}}>"
    variables = {"messages": [{"role": "assistant", "content": content}]}
    found = renderer.render(template, variables, is_continued=True)
    assert found == "<" + (content.rstrip() if strips else content)


def test_the_process_sees_no_secrets(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    fresh = Renderer()
    try:
        fresh.render("x", {"messages": MESSAGES})
        assert fresh._child is not None
        with open(f"/proc/{fresh._child.pid}/environ") as file:
            assert "secret" not in file.read()
    finally:
        fresh.close()
