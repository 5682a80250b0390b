import subprocess
import sys
from pathlib import Path

import pytest

import radixlm as rl

SRC = Path(__file__).parents[1] / "src"
BUDGET_S = 0.15

# Changing this list is changing what users rely on.
PUBLIC = [
    "Anthropic",
    "BackendError",
    "Crusoe",
    "Engine",
    "Estimate",
    "Finding",
    "Function",
    "GrammarError",
    "LiteLLM",
    "OpenAI",
    "ProgramEndedError",
    "ProgramError",
    "ProgramState",
    "RoleError",
    "Runtime",
    "RuntimeEndpoint",
    "ScriptedBackend",
    "ServerArgs",
    "UnboundVariableError",
    "UnsupportedError",
    "VertexAI",
    "__version__",
    "assistant",
    "assistant_begin",
    "assistant_end",
    "distribution",
    "flush_cache",
    "function",
    "gen",
    "gen_int",
    "gen_string",
    "get_server_info",
    "global_config",
    "greedy_token_selection",
    "image",
    "pins",
    "role",
    "select",
    "separate_reasoning",
    "set_default_backend",
    "system",
    "system_begin",
    "system_end",
    "token_length_normalized",
    "unconditional_likelihood_normalized",
    "unpin",
    "user",
    "user_begin",
    "user_end",
    "video",
]


def child(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.strip()


def test_the_public_list_is_the_written_one() -> None:
    assert sorted(rl.__all__) == sorted(PUBLIC)
    assert dir(rl) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_exists_and_says_what_it_is(name: str) -> None:
    thing = getattr(rl, name)
    assert name.startswith("__") or thing.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'radixlm' has no attribute 'gne'"):
        rl.gne  # noqa: B018


def test_importing_brings_no_heavy_package_along() -> None:
    heavy = "torch transformers aiohttp requests numpy pydantic xgrammar tqdm tokenizers zmq"
    program = f"import sys, radixlm; print(*[m for m in {heavy!r}.split() if m in sys.modules])"
    assert child(program) == ""


@pytest.mark.slow
def test_importing_is_quick() -> None:
    # Processor time: a busy machine stretches the clock's. asyncio and msgspec are 0.09 s of it.
    program = """
import time
begin = time.process_time()
import radixlm
print(time.process_time() - begin)
"""
    assert min(float(child(program)) for _ in range(5)) < BUDGET_S
