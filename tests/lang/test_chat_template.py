import pytest

import radixlm as rl
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
        ("Qwen/Qwen2-VL-7B-Instruct", "qwen2-vl"),
        ("meta-llama/Llama-2-7b-chat-hf", "llama-2-chat"),
        ("google/gemma-2-9b-it", "gemma-it"),
        ("google/gemma-4-12b-it", "gemma-4-it"),
        ("deepseek-ai/DeepSeek-V3", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "qwen"),
        ("deepseek-ai/Janus-Pro-7B", "janus-pro"),
        ("OpenGVLab/InternVL2_5-8B", "internvl-2-5"),
        ("openbmb/MiniCPM-V-2_6", "minicpmv"),
        ("liuhaotian/llava-v1.5-7b", "vicuna_v1.1"),
        ("databricks/dbrx-instruct", "dbrx-instruct"),
        ("01-ai/Yi-1.5-34B-Chat", "yi-1.5"),
        ("CohereForAI/c4ai-command-r-v01", "c4ai-command-r"),
        ("ibm-granite/granite-3.0-8b-instruct", "granite-3-instruct"),
        ("/models/7b", "default"),
    ],
)
def test_a_models_path_tells_its_template(path: str, name: str) -> None:
    assert get_chat_template_by_model_path(path).name == name


SGLANG = """
    default claude chatml chatml-llava qwen qwen2-vl vicuna_v1.1 llama-2-chat mistral
    llama-3-instruct llama-3-instruct-llava llama-4 yi-1.5 yi-vl gemma-it gemma-4-it dbrx-instruct
    c4ai-command-r internvl-2-5 interns1 granite-3-instruct deepseek-v3 glm-4v minicpmv minicpmo
    janus janus-pro
"""


def test_all_of_sglangs_names_are_known() -> None:
    assert sorted(chat_template._templates) == sorted(SGLANG.split())


TALK = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "U"},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "V"},
]


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        (
            "chatml",
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n"
            "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n",
        ),
        (
            "llama-2-chat",
            "[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST]A </s><s>[INST] V [/INST]",
        ),
        (
            "gemma-it",
            "<start_of_turn>user\nS\n\nU<end_of_turn>\n"
            "<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nV<end_of_turn>\n",
        ),
        ("glm-4v", "[gMASK]<sop><|system|>\nS<|user|>\nU<|assistant|>\nA<|user|>\nV"),
    ],
)
def test_a_template_writes_a_conversation_and_so_does_the_machine(name: str, prompt: str) -> None:
    template = get_chat_template(name)
    assert template.get_prompt(TALK) == prompt

    @rl.function
    def talk(s: rl.ProgramState) -> None:
        for message in TALK:
            s += rl.role(message["role"], message["content"])

    state = talk.run(backend=rl.ScriptedBackend(roles=template.role_format()))
    assert state.text() == prompt
    assert state.messages() == TALK


def test_a_missing_system_message_is_the_default_one_or_none() -> None:
    unsaid = [{"role": "system", "content": None}, {"role": "user", "content": "U"}]
    assert "You are a helpful assistant." in get_chat_template("qwen").get_prompt(unsaid)
    assert get_chat_template("llama-2-chat").get_prompt(unsaid) == "[INST] U [/INST]"


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
