from __future__ import annotations

import numpy as np
import pytest
import torch

from radixlm.runtime.gguf.quants import LAYOUTS


@pytest.mark.parametrize("type_id", LAYOUTS)
def test_blocks_decode_as_the_gguf_package_decodes_them(type_id: int) -> None:
    gguf = pytest.importorskip("gguf", reason="the gguf package is the reference here")
    layout = LAYOUTS[type_id]
    kind = gguf.GGMLQuantizationType(type_id)
    assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (
        layout.name,
        (layout.count, layout.num_bytes),
    )
    rng = np.random.default_rng(type_id)
    blocks = rng.integers(0, 256, (64, layout.num_bytes), np.uint8)
    # Scales of random bits would be huge or no numbers: these bytes are the high ones of halves
    # (of floats, in the plain types), and small here.
    for place in {"Q6_K": [209], "Q8_0": [1], "Q4_0": [1], "Q5_0": [1]}.get(layout.name, [1, 3]):
        if place < layout.num_bytes:
            blocks[:, place] &= 0x3B
    theirs = gguf.quants.dequantize(blocks, kind)
    ours = layout.decode(torch.from_numpy(blocks)).float().numpy()
    assert np.isfinite(theirs).all()
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6 * np.abs(theirs).max())
