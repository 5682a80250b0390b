"""The fewest tokens that spell a text of a grammar: exact, for grammars without recursion.

The grammar becomes an automaton over characters, the vocabulary a trie. A pair of their states is
a place in a text inside a token; going on inside a token is free, beginning one costs 1. The
cheapest way to an end of the text between two tokens is found breadth first (0-1 BFS).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from ...constrained.ebnf import Charset
from .grammar import (
    Choice,
    Expression,
    Literal,
    OneOf,
    Reference,
    Repeat,
    Rules,
    Sequence,
)

MAX_STATES = 20_000  # of the automaton
MAX_PAIRS = 400_000
_END = ""  # in a trie node: a token ends here

Trie = dict[str, Any]


class TooLargeError(Exception):
    """More states than are followed."""


def fewest_tokens(expression: Expression, rules: Rules, texts: Iterable[str]) -> int | None:
    """Return the least number of tokens of any text; None where it cannot be found.

    Characters beyond ASCII may be spelled by parts of tokens, so they count nothing: the result is
    then a lower bound.

    Args:
        expression: what derives the texts.
        rules: what it refers to.
        texts: those of the vocabulary's tokens.
    """
    automaton = _Automaton(rules)
    try:
        start, end = automaton.add(expression, frozenset())
        return _search(automaton, start, end, _trie(texts))
    except TooLargeError:
        return None


class _Automaton:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.silent: list[list[int]] = []
        self.edges: list[list[tuple[Charset, int]]] = []

    def state(self) -> int:
        if len(self.silent) >= MAX_STATES:
            raise TooLargeError
        self.silent.append([])
        self.edges.append([])
        return len(self.silent) - 1

    def add(self, expression: Expression, around: frozenset[str]) -> tuple[int, int]:
        """Add an expression; return the states before and behind it."""
        match expression:
            case Literal(text=text):
                start = end = self.state()
                for char in text:
                    after = self.state()
                    self.edges[end].append((((ord(char), ord(char)),), after))
                    end = after
                return start, end
            case OneOf(chars=chars):
                start, end = self.state(), self.state()
                self.edges[start].append((chars, end))
                return start, end
            case Sequence(parts=parts):
                start = end = self.state()
                for part in parts:
                    first, last = self.add(part, around)
                    self.silent[end].append(first)
                    end = last
                return start, end
            case Choice(options=options):
                start, end = self.state(), self.state()
                for option in options:
                    first, last = self.add(option, around)
                    self.silent[start].append(first)
                    self.silent[last].append(end)
                return start, end
            case Repeat():
                return self._repeat(expression, around)
            case Reference(rule=rule):
                if rule in around or rule not in self._rules:
                    raise TooLargeError
                return self.add(self._rules[rule], around | {rule})

    def _repeat(self, expression: Repeat, around: frozenset[str]) -> tuple[int, int]:
        start = end = self.state()
        for _ in range(expression.low):
            first, last = self.add(expression.part, around)
            self.silent[end].append(first)
            end = last
        # More rounds than the least never need fewer tokens, except that a token may span the
        # rounds and what follows; one loop stands for all of them.
        if expression.high is None or expression.high > expression.low:
            first, last = self.add(expression.part, around)
            self.silent[end].append(first)
            if expression.high is None or expression.high > expression.low + 1:
                self.silent[last].append(first)
            after = self.state()
            self.silent[end].append(after)
            self.silent[last].append(after)
            end = after
        return start, end


def _trie(texts: Iterable[str]) -> Trie:
    root: Trie = {}
    for text in texts:
        node = root
        for char in text:
            node = node.setdefault(char, {})
        if text:
            node[_END] = True
    return root


def _search(automaton: _Automaton, start: int, end: int, root: Trie) -> int | None:
    """0-1 BFS; a pair at the root of the trie is between two tokens."""
    best: dict[tuple[int, int], int] = {(start, id(root)): 0}
    queue: deque[tuple[int, int, Trie]] = deque([(0, start, root)])
    while queue:
        cost, state, node = queue.popleft()
        if best.get((state, id(node)), cost) < cost:
            continue
        if state == end and node is root:
            return cost
        for price, after, inner in _steps(automaton, state, node, root):
            key = (after, id(inner))
            if cost + price < best.get(key, cost + price + 1):
                best[key] = cost + price
                if len(best) > MAX_PAIRS:
                    raise TooLargeError
                (queue.append if price else queue.appendleft)((cost + price, after, inner))
    return None


def _steps(
    automaton: _Automaton, state: int, node: Trie, root: Trie
) -> Iterator[tuple[int, int, Trie]]:
    for after in automaton.silent[state]:
        yield 0, after, node
    if _END in node:
        yield 0, state, root
    price = 1 if node is root else 0
    for chars, after in automaton.edges[state]:
        for char in _shared(chars, node):
            yield price, after, node[char]
        if chars[-1][1] > 127:
            yield 0, after, node


def _shared(chars: Charset, node: Trie) -> Iterator[str]:
    """The characters of a set that a trie node goes on with."""
    if len(chars) == 1 and chars[0][0] == chars[0][1]:
        char = chr(chars[0][0])
        if char in node:
            yield char
        return
    starts = [low for low, _ in chars]
    for char in node:
        if char != _END:
            at = bisect_right(starts, ord(char)) - 1
            if at >= 0 and ord(char) <= chars[at][1]:
                yield char
