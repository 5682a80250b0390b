"""`radixlm cache`: look at a running server's cache, and pin prefixes in it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import requests

TIMEOUT_S = 60.0


def add_cache(commands: Any) -> None:
    """Add `radixlm cache` to the command line."""
    cache = commands.add_parser("cache", help="show a server's cached prefixes, or pin one")
    actions = cache.add_subparsers(dest="action", required=True)
    show = actions.add_parser("show", help="print the tree: text, tokens, hits, age, locks")
    show.add_argument("--max-nodes", type=int, default=200, metavar="INT")
    show.add_argument("--svg", action="store_true", help="as a picture")
    actions.add_parser("pins", help="list the pinned prefixes")
    pin = actions.add_parser("pin", help="compute a prefix and keep it")
    pin.add_argument("name")
    pin.add_argument("text")
    pin.add_argument("--ttl-s", type=float, metavar="FLOAT", help="seconds until it ends by itself")
    unpin = actions.add_parser("unpin", help="let a pinned prefix go")
    unpin.add_argument("name")
    for action in actions.choices.values():
        action.add_argument("--url", default="http://127.0.0.1:30000", help="default: %(default)s")
        action.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        answer = _send(options)
    except requests.ConnectionError:
        print(f"radixlm: no server answers at {options.url}; give --url", file=sys.stderr)
        return 2
    if answer.status_code != 200:
        print(f"radixlm: {answer.text}", file=sys.stderr)
        return 1
    if options.action == "show":
        print(answer.text, end="")
    elif options.action == "pins":
        for pin in answer.json()["pins"]:
            left = pin["ttl_left_s"]
            ends = "until unpinned" if left is None else f"{left:.0f} s left"
            print(f"{pin['name']}: {pin['num_tokens']} tokens, {pin['hits']} hits, {ends}")
    return 0


def _send(options: argparse.Namespace) -> requests.Response:
    key = os.environ.get("RADIXLM_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    pins = f"{options.url}/cache/pins"
    match options.action:
        case "show":
            query: dict[str, Any] = {"max_nodes": options.max_nodes}
            query["format"] = "svg" if options.svg else "text"
            tree = f"{options.url}/cache/tree"
            return requests.get(tree, params=query, headers=headers, timeout=TIMEOUT_S)
        case "pins":
            return requests.get(pins, headers=headers, timeout=TIMEOUT_S)
        case "pin":
            body = {"name": options.name, "text": options.text, "ttl_s": options.ttl_s}
            return requests.post(pins, json=body, headers=headers, timeout=TIMEOUT_S)
        case _:
            return requests.delete(f"{pins}/{options.name}", headers=headers, timeout=TIMEOUT_S)
