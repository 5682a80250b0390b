import pytest

from radixlm.lang import chat_template
from radixlm.lang.chat_template import (
    ChatTemplate,
    get_chat_template,
    get_chat_template_by_model_path,
    register_chat_template,
    register_chat_template_matching_function,
)

MINE = ChatTemplate("mine", None, {"user": ("U ", "\n"), "assistant": ("A ", "\n")}, ["\n"])


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "_templates", dict(chat_template._templates))
    monkeypatch.setattr(chat_template, "_matchers", list(chat_template._matchers))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3-instruct"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4"),
        ("lmsys/vicuna-7b-v1.5", "vicuna_v1.1"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen"),
        ("Qwen/Qwen2-VL-7B-Instruct", "default"),
        ("01-ai/Yi-1.5-34B-Chat", "yi-1.5"),
        ("CohereForAI/c4ai-command-r-v01", "c4ai-command-r"),
        ("ibm-granite/granite-3.0-8b-instruct", "granite-3-instruct"),
        ("/models/7b", "default"),
    ],
)
def test_a_models_path_tells_its_template(path: str, name: str) -> None:
    assert get_chat_template_by_model_path(path).name == name


@pytest.mark.parametrize("name", sorted(chat_template._templates))
def test_every_template_writes_every_role(name: str) -> None:
    roles = get_chat_template(name).role_format()
    assert set(roles.parts) == {"system", "user", "assistant"}
    assert roles.stop == tuple(get_chat_template(name).stop_str)


@pytest.mark.usefixtures("registry")
def test_ones_own_template_and_matcher_go_first() -> None:
    register_chat_template(MINE)
    register_chat_template_matching_function(lambda path: MINE if "qwen" in path else None)
    assert get_chat_template("mine") is MINE
    assert get_chat_template_by_model_path("qwen-mine") is MINE
    assert get_chat_template_by_model_path("vicuna").name == "vicuna_v1.1"


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(KeyError, match=r"no chat template is named 'x'; known: c4ai.*, yi-1\.5"):
        get_chat_template("x")
