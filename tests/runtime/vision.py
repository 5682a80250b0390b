"""A small LLaVA with random weights in the real format, and pictures, all made here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import NotAppKeyWarning

from radixlm.ir import loop
from radixlm.runtime.config import ServerConfig
from radixlm.runtime.offline import Engine
from radixlm.runtime.web.app import make_app

from .conftest import SENTENCES

IMAGE = "<image>"
SIZE, PATCH = 28, 7
ROWS = (SIZE // PATCH) ** 2
# As LLaVA-1.5's: images first, then the text of a turn.
TEMPLATE = (
    "{% for m in messages %}{{ m.role.upper() }}: "
    "{% for part in m.content | selectattr('type', 'equalto', 'image') %}<image>\n{% endfor %}"
    "{% for part in m.content | selectattr('type', 'equalto', 'text') %}{{ part.text }} "
    "{% endfor %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def write_llava(folder: Path, *, tower: str = "clip", text: str = "llama") -> None:
    """Write a checkpoint with tokenizer and image processor.

    Args:
        folder: where to.
        tower: "clip" or "siglip".
        text: "llama", which the compiled decoder computes too, or "qwen2".
    """
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", IMAGE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": SIZE,
        "patch_size": PATCH,
    }
    if tower == "clip":
        vision: Any = transformers.CLIPVisionConfig(**shape)
    else:
        vision = transformers.SiglipVisionConfig(**shape, vision_use_head=False)
    kinds = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}
    decoder = kinds[text](
        vocab_size=trained.get_vocab_size() + 8,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config=decoder,
        image_token_index=2,
        image_seq_length=ROWS,
        vision_feature_select_strategy="default" if tower == "clip" else "full",
        vision_feature_layer=-2 if tower == "clip" else -1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlavaForConditionalGeneration(config)
        with torch.no_grad():  # as large as token embeddings are, so that an image is heard
            model.model.multi_modal_projector.linear_2.weight.mul_(20)
        model.save_pretrained(folder)
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(
            size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
        ),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1 if tower == "clip" else 0,
        chat_template=TEMPLATE,
    )
    processor.save_pretrained(folder)


def picture(seed: int, width: int = 40, height: int = 32) -> Any:
    """A PIL image of coarse random blocks."""
    from PIL import Image

    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height))


@contextmanager
def serving(engine: Engine) -> Iterator[TestClient[Any, Any]]:
    """The routes over an engine's desk, on its event loop; use the client there."""

    async def opened() -> TestClient[Any, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotAppKeyWarning)  # the application's keys are words
            app = make_app(engine.desk, ServerConfig(), {})
        client = TestClient(TestServer(app))
        await client.start_server()
        return client

    client = loop.wait(opened())
    try:
        yield client
    finally:
        loop.wait(client.close())
