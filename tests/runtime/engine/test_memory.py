import pytest
import torch

from radixlm.runtime.attention import Rule
from radixlm.runtime.config import CacheConfig
from radixlm.runtime.engine.memory import MAX_CPU_SLOTS, pool_slots
from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.models.spec import MLP, AttentionSpec, DecoderSpec, LayerSpec, Norm

LAYER = LayerSpec(
    attention=AttentionSpec(heads=2, kv_heads=2, head_dim=4, rule=Rule(scale=0.5)),
    mlp=MLP(intermediate=8),
    norm=Norm(eps=1e-6),
)
SPEC = DecoderSpec(
    vocab_size=10,
    hidden=8,
    max_positions=16,
    layers=(LAYER, LAYER),
    norm=LAYER.norm,
    tied_embeddings=True,
)
SLOT = 2 * 2 * 2 * 4 * 4  # bytes in f32


@pytest.mark.parametrize(
    ("cache", "slots"),
    [
        (CacheConfig(max_total_tokens=100), 100),
        (CacheConfig(max_total_tokens=100, page_size=16), 96),
        (CacheConfig(pool_bytes=50 * SLOT), 49),  # and the scratch slot
        (CacheConfig(pool_bytes=1 << 40), MAX_CPU_SLOTS),
    ],
)
def test_the_pool_takes_what_the_configuration_allows(cache: CacheConfig, slots: int) -> None:
    assert pool_slots(SPEC, cache, torch.float32, torch.device("cpu")) == slots


def test_a_pool_without_room_for_a_page_is_refused() -> None:
    cache = CacheConfig(pool_bytes=10 * SLOT, page_size=16)
    with pytest.raises(ModelLoadError, match=r"no room for a page: pool_bytes=1280, .* 16 slots"):
        pool_slots(SPEC, cache, torch.float32, torch.device("cpu"))
