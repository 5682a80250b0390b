"""Weights in fewer bits: how far they are from the plain ones, and that whole engines load them."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from radixlm.runtime.models.weights import Gathering
from radixlm.runtime.quant import Int4, Int8, Weight
from radixlm.runtime.quant.int4 import Int4Method
from radixlm.runtime.quant.int8 import Int8Method

from ...scripts import load

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def random_weight(rows: int, inputs: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Rows of very different size, a row of zeros, and one with a single large number."""
    generator = torch.Generator().manual_seed(rows + inputs)
    weight = torch.randn(rows, inputs, generator=generator)
    weight *= torch.logspace(-3, 1, rows)[:, None]
    weight[1] = 0
    weight[2, 3] = 50
    return weight.to(dtype)


def widened(weight: Weight, rows: int) -> Tensor:
    return weight.rows(torch.arange(rows))


@pytest.mark.parametrize("dtype", DTYPES)
def test_int8_is_within_half_a_step_of_every_number(dtype: torch.dtype) -> None:
    weight = random_weight(40, 96, dtype)
    held = Int8Method().hold(weight)
    assert held.nbytes == 40 * 96 + 40 * dtype.itemsize
    found = held.codes.double() * held.scales.double()[:, None]
    step = held.scales.double()[:, None]
    assert ((found - weight.double()).abs() <= step * 0.5001).all()
    # Steps are no wider than the row needs, but for the rounding of scales to the dtype.
    needed = weight.double().abs().amax(1) / 127
    assert (held.scales.double() <= needed * (1 + 2 * torch.finfo(dtype).eps) + 1e-7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("inputs", "group"), [(256, 128), (192, 64), (96, 32)])
def test_int4_is_within_half_a_step_of_every_number(
    inputs: int, group: int, dtype: torch.dtype
) -> None:
    weight = random_weight(40, inputs, dtype)
    held = Int4Method().hold(weight)
    assert isinstance(held, Int4)
    assert held.group == group
    assert held.nbytes == 40 * inputs // 2 + 2 * 40 * (inputs // group) * dtype.itemsize
    low, high = held.codes & 15, held.codes >> 4
    codes = torch.stack((low, high), -1).view(40, -1, group).double()
    scales, middles = held.scales.double()[..., None], held.middles.double()[..., None]
    found = (codes - 8) * scales + middles
    error = (found - weight.double().view(found.shape)).abs()
    rounding = middles.abs() * torch.finfo(dtype).eps  # of the middles to the dtype
    assert (error <= scales * 0.5001 + rounding).all()
    assert codes.amax() == 15


@pytest.mark.parametrize("method", [Int8Method(), Int4Method(), Int4Method(32)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [1, 7])
def test_a_product_is_that_of_the_widened_weight(
    method: Int8Method | Int4Method, dtype: torch.dtype, tokens: int
) -> None:
    held = method.hold(random_weight(48, 128, dtype))
    x = torch.randn(tokens, 128, generator=torch.Generator().manual_seed(0)).to(dtype)
    bias = torch.linspace(-1, 1, 48).to(dtype)
    expected = F.linear(x.double(), widened(held, 48).double(), bias.double())
    found = held.multiply(x, bias)
    assert found.dtype == dtype
    allowed = 16 if dtype == torch.float32 else 2  # sums in f32; the result is rounded
    size = (x.double().abs() @ widened(held, 48).double().abs().t()) + bias.double().abs()
    assert ((found.double() - expected).abs() <= allowed * torch.finfo(dtype).eps * size).all()


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The kernels as Triton's interpreter runs them: made anew, as that is settled at import."""
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return load("src/radixlm/runtime/quant/kernels.py")


@pytest.mark.parametrize(("tokens", "rows", "inputs"), [(1, 40, 192), (19, 33, 96)])
def test_kernels_agree_with_torch_under_tritons_interpreter(
    interpreted: ModuleType, tokens: int, rows: int, inputs: int
) -> None:
    weight = random_weight(rows, inputs, torch.float16)
    x = torch.randn(tokens, inputs, generator=torch.Generator().manual_seed(0)).half()
    whole, half = Int8Method().hold(weight), Int4Method().hold(weight)
    assert isinstance(half, Int4)
    size = x.double().abs() @ weight.double().abs().t() + 1e-3
    found = interpreted.multiply_int8(x, whole.codes, whole.scales)
    assert ((found - x.double() @ widened(whole, rows).double().t()).abs() <= 2e-3 * size).all()
    found = interpreted.multiply_int4(x, half.codes, half.scales, half.middles)
    assert ((found - x.double() @ widened(half, rows).double().t()).abs() <= 2e-3 * size).all()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tokens", [1, 17, 64, 65, 200])
@pytest.mark.parametrize("method", [Int8Method(), Int4Method(), Int4Method(32)])
def test_products_on_cuda_are_those_of_the_widened_weight(
    method: Int8Method | Int4Method, tokens: int, dtype: torch.dtype
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    weight = torch.randn(1000, 1152, generator=torch.Generator().manual_seed(0)).to(dtype)
    on_host, held = method.hold(weight), method.hold(weight.cuda())
    every = torch.arange(1000)
    widened = held.rows(every.cuda()).cpu()
    # Where a number is half way between two levels, devices may choose differently.
    is_other = ~torch.isclose(widened, on_host.rows(every), rtol=0.02, atol=0.02)
    assert is_other.double().mean() < 0.01
    x = torch.randn(tokens, 1152, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = x.double() @ widened.double().t()
    found = held.multiply(x.cuda(), torch.ones(1000, dtype=dtype, device="cuda")).cpu().double()
    error = (found - 1 - expected).norm() / expected.norm()
    assert error < 4 * torch.finfo(dtype).eps


def test_inputs_that_no_group_divides_are_held_in_8_bits() -> None:
    assert isinstance(Int4Method().hold(random_weight(8, 72)), Int8)
    assert isinstance(Int4Method(32).hold(random_weight(8, 64)), Int4)


def test_zeros_stay_zeros() -> None:
    for method in (Int8Method(), Int4Method()):
        assert not widened(method.hold(torch.zeros(4, 64)), 4).any()


def test_a_matrix_is_handed_on_once_all_its_parts_are_there() -> None:
    taken: list[Tensor] = []
    gathering = Gathering((5, 4), torch.float32, torch.device("cpu"), taken.append)
    top, bottom = gathering.layout.split_with_sizes([2, 3])
    with gathering.filling(bottom.t()) as part:
        part.copy_(torch.arange(12.0).view(4, 3))
    assert not taken
    with gathering.filling(top) as part:
        part.fill_(-1)
    assert [whole.tolist() for whole in taken] == [
        [[-1] * 4, [-1] * 4, [0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    ]
