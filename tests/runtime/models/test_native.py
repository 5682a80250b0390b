"""The compiled decoder against the one in torch, and against itself in other batches."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from radixlm.runtime.attention import Rule, make_attention
from radixlm.runtime.engine.inputs import Inputs, Row, Staging
from radixlm.runtime.engine.memory import make_pool
from radixlm.runtime.kernels import build
from radixlm.runtime.models.decoder import Decoder
from radixlm.runtime.models.llama import windowed
from radixlm.runtime.models.native import NativeDecoder, is_supported
from radixlm.runtime.models.registry import find_family
from radixlm.runtime.models.rope import Rope
from radixlm.runtime.models.spec import MLP, AttentionSpec, DecoderSpec, LayerSpec, Norm
from radixlm.runtime.quant import find_scheme

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


def make_spec(
    *,
    kv_heads: int = 2,
    head_dim: int = 32,
    tied: bool = False,
    bias: bool = False,
    qk_norm: bool = False,
    intermediate: int = 80,
    windows: tuple[int | None, int | None] = (None, None),
    rope: Rope = Rope(),  # noqa: B008
) -> DecoderSpec:
    norm = Norm(eps=1e-5)
    layer = LayerSpec(
        attention=AttentionSpec(
            heads=4,
            kv_heads=kv_heads,
            head_dim=head_dim,
            rule=Rule(scale=head_dim**-0.5),
            rope=rope,
            bias=bias,
            out_bias=bias,
            qk_norm=norm if qk_norm else None,
        ),
        mlp=MLP(intermediate=intermediate, bias=bias),
        norm=norm,
    )
    return DecoderSpec(
        vocab_size=101,
        hidden=64,
        max_positions=512,
        layers=windowed((layer, layer), windows),
        norm=layer.norm,
        tied_embeddings=tied,
    )


def filled(spec: DecoderSpec, dtype: torch.dtype, quantization: str | None) -> Decoder:
    decoder = Decoder(spec, dtype, CPU, find_scheme(quantization) if quantization else None)
    generator = torch.Generator().manual_seed(1)
    for name, target in find_family(["LlamaForCausalLM"]).targets(decoder).items():
        with torch.inference_mode(), target.filling() as part:
            part.normal_(1.0 if "norm" in name else 0.0, 0.3, generator=generator)
    return decoder


class Pair:
    """The same weights twice, each with a pool of its own."""

    def __init__(
        self,
        spec: DecoderSpec,
        dtype: torch.dtype = torch.float32,
        quantization: str | None = None,
    ) -> None:
        self.pool = make_pool(spec, 600, dtype, CPU)
        self._reference = filled(spec, dtype, quantization)
        self._attention = make_attention("plain", make_pool(spec, 600, dtype, CPU), spec.rules)
        self._native = NativeDecoder(filled(spec, dtype, quantization), self.pool)

    @torch.inference_mode()
    def native(self, *rows: Row) -> Tensor:
        work = Inputs.build(rows, Staging(CPU))
        return self._native(work.tokens, work.positions, work.wanted, work.layout)

    @torch.inference_mode()
    def plain(self, *rows: Row) -> Tensor:
        work = Inputs.build(rows, Staging(CPU))
        self._attention.plan(work.layout)
        return self._reference(work.tokens, work.positions, work.wanted, self._attention)


def row(
    tokens: Sequence[int] | NDArray[np.int64],
    *,
    start: int = 0,
    base: int = 0,
    wanted_from: int = -1,
) -> Row:
    return Row(
        tokens=np.asarray(tokens, dtype=np.int32),
        start=start,
        slots=np.arange(base, base + start + len(tokens), dtype=np.int32),
        logits_from=len(tokens) + wanted_from if wanted_from < 0 else wanted_from,
    )


def passes() -> list[list[Row]]:
    """A prompt, a chunk of it, decoding, and all of these in one pass."""
    draw = np.random.default_rng(0).integers
    return [
        [row(draw(0, 101, 37), wanted_from=0)],
        [row(draw(0, 101, 20), start=37)],
        [row(draw(0, 101, 1), start=57)],
        [
            row(draw(0, 101, 130), base=200, wanted_from=3),
            row(draw(0, 101, 1), start=58),
            row(draw(0, 101, 7), base=400),
        ],
    ]


@needs_compiler
@pytest.mark.parametrize(
    "spec",
    [
        make_spec(),
        make_spec(kv_heads=4),
        make_spec(kv_heads=1, tied=True),
        make_spec(head_dim=96),
        make_spec(bias=True),
        make_spec(qk_norm=True),
        make_spec(windows=(13, None)),
        make_spec(windows=(1, 64), qk_norm=True),
        make_spec(rope=Rope(magnitude=1.3)),
    ],
    ids=lambda spec: f"{spec.kv_heads}x{spec.key_dim}",
)
def test_logits_are_those_of_the_decoder_in_torch(spec: DecoderSpec) -> None:
    pair = Pair(spec)
    for rows in passes():
        torch.testing.assert_close(pair.native(*rows), pair.plain(*rows), rtol=1e-4, atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("quantization", ["int8", "int4", "int4-32"])
@pytest.mark.parametrize(
    "spec",
    [make_spec(bias=True), make_spec(tied=True), make_spec(head_dim=96, intermediate=128)],
    ids=["bias", "tied", "wide"],
)
def test_rounded_weights_give_the_logits_that_they_give_in_torch(
    spec: DecoderSpec, quantization: str
) -> None:
    pair = Pair(spec, quantization=quantization)
    for rows in passes():
        torch.testing.assert_close(pair.native(*rows), pair.plain(*rows), rtol=1e-4, atol=2e-4)


@needs_compiler
def test_branches_of_one_pass_are_bit_for_bit_what_each_is_alone() -> None:
    pair = Pair(make_spec())
    draw = np.random.default_rng(3).integers
    stem, left, right = draw(0, 101, 40), draw(0, 101, 3), draw(0, 101, 2)
    alone = [pair.native(row([*stem, *branch], wanted_from=40)) for branch in (left, right)]
    branches = [
        Row(
            tokens=branch.astype(np.int32),
            start=40,
            slots=np.concatenate((np.arange(100, 140), np.arange(base, base + len(branch)))).astype(
                np.int32
            ),
            logits_from=0,
        )
        for branch, base in ((left, 300), (right, 350))
    ]
    for rows in ([row(stem, base=100), *branches], [*branches[::-1], row(stem, base=100)]):
        pair.pool.keys[0].zero_()
        found = pair.native(*rows)
        parts = found.split([len(each.tokens) - each.logits_from for each in rows])
        own = dict(zip(map(id, rows), parts, strict=True))
        for branch, expected in zip(branches, alone, strict=True):
            assert torch.equal(own[id(branch)], expected)


@needs_compiler
def test_a_bfloat16_model_is_as_near_to_torch_as_bfloat16_is() -> None:
    pair = Pair(make_spec(), torch.bfloat16)
    exact = Pair(make_spec())
    for rows in passes():
        ours, theirs, truth = pair.native(*rows), pair.plain(*rows), exact.plain(*rows)
        assert (ours - theirs).abs().mean() < 0.1 * theirs.abs().mean()
        assert (ours - truth).abs().mean() <= 1.1 * (theirs - truth).abs().mean()


@needs_compiler
@pytest.mark.parametrize(
    ("windows", "quantization"),
    [((None, None), None), ((13, None), None), ((None, None), "int8"), ((None, None), "int4-32")],
)
def test_a_row_has_the_same_bits_alone_and_in_any_batch(
    windows: tuple[int | None, int | None], quantization: str | None
) -> None:
    pair = Pair(make_spec(windows=windows), quantization=quantization)
    prompts = [list(range(3, 3 + n)) for n in (40, 1, 17, 5, 64, 9, 2)]
    rows = [row(tokens, base=80 * i) for i, tokens in enumerate(prompts)]
    together = pair.native(*rows)
    for index, one in enumerate(rows):
        assert torch.equal(pair.native(one)[0], together[index])


@needs_compiler
@pytest.mark.parametrize(
    ("windows", "quantization"),
    [((None, None), None), ((13, None), None), ((None, None), "int8"), ((None, None), "int4-32")],
)
def test_a_prompt_has_the_same_bits_however_it_is_cut(
    windows: tuple[int | None, int | None], quantization: str | None
) -> None:
    pair = Pair(make_spec(windows=windows), quantization=quantization)
    tokens = [(7 * i) % 101 for i in range(150)]
    whole = pair.native(row(tokens))
    at = 0
    for size in (1, 96, 20, 1, 32):
        last = pair.native(row(tokens[at : at + size], start=at))
        at += size
    assert torch.equal(last, whole)


@needs_compiler
def test_many_passes_at_once_in_several_decoders_do_not_disturb_each_other() -> None:
    pairs = [Pair(make_spec()) for _ in range(3)]
    expected = [pairs[0].native(*rows) for rows in passes()]
    for _ in range(30):
        for pair in pairs:
            found = [pair.native(*rows) for rows in passes()]
            assert all(map(torch.equal, found, expected))


def test_what_the_kernel_cannot_hold_is_left_to_torch() -> None:
    assert is_supported(make_spec(), torch.float32, CPU)
    assert is_supported(make_spec(qk_norm=True, windows=(5, None)), torch.bfloat16, CPU)
    assert not is_supported(make_spec(head_dim=24), torch.float32, CPU)
    assert not is_supported(make_spec(rope=Rope(partial=0.5)), torch.float32, CPU)
    layer = replace(make_spec().layers[0], norms="after")
    assert not is_supported(replace(make_spec(), layers=(layer,)), torch.float32, CPU)
    assert not is_supported(replace(make_spec(), logit_softcap=3.0), torch.float32, CPU)
    assert not is_supported(make_spec(), torch.float16, CPU)
    assert not is_supported(make_spec(), torch.float32, torch.device("cuda"))


def test_a_machine_without_a_compiler_gets_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.KernelError, match="install g\\+\\+, or set CXX"):
        build.load_library(build.DECODER)


@needs_compiler
def test_a_source_is_compiled_once_and_a_wrong_one_is_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sources = tmp_path / "csrc"
    sources.mkdir()
    (sources / "one.cpp").write_text('extern "C" int one() { return 1; }')
    (sources / "wrong.cpp").write_text("int main() { return two; }")
    monkeypatch.setattr(build, "SOURCES", sources)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert build.load_library("one.cpp").one() == 1
    made = build.compiled("one.cpp")
    stamp = made.stat().st_mtime_ns
    assert build.compiled("one.cpp") == made
    assert made.stat().st_mtime_ns == stamp
    with pytest.raises(build.KernelError, match=r"two. was not declared"):
        build.load_library("wrong.cpp")
