"""Images in programs: questions about one share it, and another one shares nothing.

Without arguments a tiny LLaVA with random weights is built on the spot: what it says means nothing,
and all else is as with a real one (`pip install 'radixlm[vision]'`):

    python examples/images.py --model-path llava-hf/llava-1.5-7b-hf --image cat.jpg
"""

import argparse
import tempfile
from typing import Any

from PIL import Image, ImageDraw

import radixlm as rl

QUESTIONS = ["What is in the middle?", "Which colours are there?", "Is it a photograph?"]
SIZE, PATCH = 28, 7  # pixels of the tiny model's images, and of a side of their patches


@rl.function
def look(s, picture):
    s += rl.user(rl.image(picture) + "What is this?")
    s += rl.assistant(rl.gen("what", max_tokens=16))
    branches = s.fork(len(QUESTIONS))
    for branch, question in zip(branches, QUESTIONS, strict=True):
        branch += rl.user(question) + rl.assistant(rl.gen("answer", max_tokens=16))
    branches.join()
    s += rl.user("Is it a drawing?") + rl.assistant(rl.select("drawing", ["yes", "no"]))


def report(title, picture, model):
    state = look.run(picture, temperature=0, backend=model, compiled=True)
    print(f"{title}: {state['what']!r}; a drawing: {state['drawing']}")
    for name in ("what", "answer"):
        metas = state.get_meta_info(name)
        for meta in metas if isinstance(metas, list) else [metas]:
            print(f"   prompt {meta['prompt_tokens']} tokens: {meta['cached_tokens']} cached")


def drawing(colour):
    picture = Image.new("RGB", (120, 90), "white")
    ImageDraw.Draw(picture).ellipse((30, 15, 90, 75), fill=colour)
    return picture


def write_tiny_llava(folder):
    """Write a model with vision as those of the hub are written, small and untrained."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<s>", "</s>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(QUESTIONS, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>"
    )
    small: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    tower = transformers.CLIPVisionConfig(
        **small, num_attention_heads=2, image_size=SIZE, patch_size=PATCH
    )
    decoder = transformers.LlamaConfig(
        **small, num_attention_heads=2, vocab_size=len(tokenizer), eos_token_id=1
    )
    config = transformers.LlavaConfig(
        vision_config=tower, text_config=decoder, image_token_index=2, vision_feature_layer=-2
    )
    transformers.set_seed(0)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(
            size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
        ),
        tokenizer,
        patch_size=PATCH,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template="{% for m in messages %}{{ m.role.upper() }}: "
        "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
        "{{ '<image>\\n' if part.type == 'image' else part.text }}{% endfor %}{% endif %} "
        "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    ).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description="Questions about images, on a model that sees.")
    parser.add_argument("--model-path", help="a folder or an id of the hub; none: a tiny model")
    parser.add_argument("--image", help="a file or an address; none: a drawing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.model_path is None:
            write_tiny_llava(folder)
        with rl.Engine(model_path=options.model_path or folder, in_process=True) as model:
            first = options.image or drawing("blue")
            report("an image", first, model)
            report("the same again", first, model)
            report("another", drawing("red"), model)


if __name__ == "__main__":
    main()
