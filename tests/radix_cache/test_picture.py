from xml.etree import ElementTree

import numpy as np
import pytest

from radixlm.radix_cache import RadixCache, to_svg

SVG = "{http://www.w3.org/2000/svg}"


def some_tree(children: int = 3) -> RadixCache:
    cache = RadixCache(1000, clock=lambda: 0.0)
    for namespace in ("", "<tenant> & 'co'"):
        for last in range(children):
            tokens = np.array([60, 1, 38, 100 + last], dtype=np.int32)
            lease = cache.acquire(tokens, namespace=namespace)
            cache.extend(lease, len(tokens) - lease.num_cached)
            cache.commit(lease, tokens)
            cache.release(lease)
    cache.pin("<system>", np.array([60, 1, 38], dtype=np.int32))
    cache.acquire(np.array([60, 1, 38, 101], dtype=np.int32))
    return cache


def texts_of(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_every_node_is_a_group_with_its_details() -> None:
    cache = some_tree()
    root = ElementTree.fromstring(to_svg(cache.list_nodes()))
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert len(titles) == cache.statistics().num_nodes == 8
    assert titles[0] == "0:3: 3 hits, 2 locks, 0 s old, pinned as '<system>'"
    assert titles[2] == "3:4: 1 hit, 1 lock, 0 s old"


def test_labels_are_ids_or_text_and_never_markup() -> None:
    nodes = some_tree().list_nodes()
    assert "0:3 [60 1 38] ⚑<system>" in texts_of(to_svg(nodes))
    texts = texts_of(to_svg(nodes, decode=lambda ids: "".join(map(chr, ids))))
    assert r"0:3 '<\x01&' ⚑<system>" in texts
    assert """namespace tenant "<tenant> & 'co'\"""" in texts


def test_colours_say_what_keeps_a_node() -> None:
    root = ElementTree.fromstring(to_svg(some_tree().list_nodes()))
    groups = [group.find(f"{SVG}rect") for group in root.iter(f"{SVG}g")]
    colours = [rect.get("fill") for rect in groups if rect is not None]
    pinned, leased, matched, cached = "#f2c14e", "#8ecae6", "#a7d7a0", "#dddddd"
    assert colours == [pinned, cached, leased, cached, matched, cached, cached, cached]


@pytest.mark.parametrize(("max_nodes", "more"), [(0, 8), (5, 3), (7, 1), (8, 0)])
def test_a_picture_is_bounded_and_says_what_it_leaves_out(max_nodes: int, more: int) -> None:
    svg = to_svg(some_tree().list_nodes(), max_nodes=max_nodes)
    assert svg.count("<title>") == max_nodes
    assert [text for text in texts_of(svg) if "more" in text] == (
        [f"and {more} more nodes"] if more else []
    )


def test_an_empty_tree_is_a_picture_too() -> None:
    assert texts_of(to_svg([])) == ["pinned", "leased", "matched", "cached"]
