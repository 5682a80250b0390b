"""`Engine.cache_tree`: the radix tree as its user sees it."""

from __future__ import annotations

from radixlm.runtime.offline import Engine

LONG = "First Citizen: before we proceed any further, hear me speak. All: speak, speak. " * 3


def test_the_tree_is_lines_of_text_and_a_picture_in_notebooks(tiny_model: str) -> None:
    with Engine(model_path=tiny_model, in_process=True) as engine:
        assert "<svg" in engine.cache_tree()._repr_svg_(), "an empty tree has one, too"
        engine.generate(LONG, {"temperature": 0, "max_new_tokens": 24, "ignore_eos": True})
        tree = engine.cache_tree(max_tokens=400)
        assert LONG[:20] in str(tree)
        assert tree._repr_svg_().startswith("<svg")
        assert sum(node.num_tokens for node in tree.nodes) > len(LONG) // 8
