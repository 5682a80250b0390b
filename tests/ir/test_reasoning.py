import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixlm.ir.reasoning import FAMILIES, ReasoningParser


def split_of(model_type: str, pieces: list[str], **options: bool) -> tuple[str, str]:
    """What the pieces of a stream join to."""
    parser = ReasoningParser(model_type, **options)
    parts = [*map(parser.parse_stream_chunk, pieces), parser.finish()]
    return "".join(thought for thought, _ in parts), "".join(said for _, said in parts)


@pytest.mark.parametrize(
    ("model_type", "text", "expected"),
    [
        ("qwen3", "<think>\nhm\n</think>\n\nYes.", ("hm", "Yes.")),
        ("qwen3", " \n<think>hm</think>Yes. \n", ("hm", "Yes.")),
        ("qwen3", "Yes. \n", ("", "Yes. \n")),
        ("qwen3", "Yes </think> no", ("", "Yes </think> no")),
        ("qwen3", "I wrote <think>a</think>", ("", "I wrote <think>a</think>")),
        ("qwen3", "<think>a < b", ("a < b", "")),
        ("qwen3", "<think>a</thin", ("a</thin", "")),
        ("qwen3", "<think></think>b", ("", "b")),
        ("qwen3", "<think>a</think>b</think>c", ("a", "b</think>c")),
        ("qwen3", "", ("", "")),
        ("qwen3", "<thi", ("", "<thi")),
        ("deepseek-r1", "hm</think>Yes.", ("hm", "Yes.")),
        ("deepseek-r1", "<think>hm</think>Yes.", ("hm", "Yes.")),
        ("deepseek-r1", "hm", ("hm", "")),
        ("deepseek-r1", "<thi", ("<thi", "")),
        ("kimi", "◁think▷a◁/think▷b", ("a", "b")),
        ("mistral", "[THINK]a[/THINK]b", ("a", "b")),
    ],
)
def test_thinking_and_answer_are_told_apart(
    model_type: str, text: str, expected: tuple[str, str]
) -> None:
    assert ReasoningParser(model_type).parse_non_stream(text) == expected
    assert split_of(model_type, list(text)) == expected


@given(
    st.sampled_from(["qwen3", "deepseek-r1"]),
    st.lists(st.sampled_from(["<think>", "</think>", "<th", "ink>", "</", " ", "\n", "a", "b"])),
    st.booleans(),
)
def test_a_stream_joins_to_what_the_whole_is_split_into(
    model_type: str, pieces: list[str], streams: bool
) -> None:
    parser = ReasoningParser(model_type)
    whole = parser.parse_non_stream("".join(pieces))
    assert split_of(model_type, pieces, stream_reasoning=streams) == whole
    assert parser.parse_non_stream("".join(pieces)) == whole  # it begins anew each time


def test_thinking_streams_as_it_comes_or_when_it_has_ended() -> None:
    def pieces(streams: bool) -> list[tuple[str, str]]:
        parser = ReasoningParser("qwen3", stream_reasoning=streams)
        return [parser.parse_stream_chunk(p) for p in ("<think>a ", "b", "</think> c", " d")]

    assert pieces(True) == [("a", ""), (" b", ""), ("", "c"), ("", " d")]
    assert pieces(False) == [("", ""), ("", ""), ("a b", "c"), ("", " d")]


def test_whether_the_thinking_is_open_can_be_said() -> None:
    parser = ReasoningParser("qwen3", force_reasoning=True)
    assert parser.parse_non_stream("a</think>b") == ("a", "b")
    parser = ReasoningParser("deepseek-r1", force_reasoning=False)
    assert parser.parse_non_stream("a</think>b") == ("", "a</think>b")


def test_an_unknown_family_is_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match="'gpt-9'; known: deepseek-r1, "):
        ReasoningParser("gpt-9")
    for name in FAMILIES:
        ReasoningParser(name)
