"""The fewest tokens that spell a text of a grammar: exact, but for its free parts.

The grammar becomes an automaton over characters, the vocabulary a trie. A pair of their states is
a place in a text inside a token; going on inside a token is free, beginning one costs 1. The
cheapest way to an end of the text between two tokens is found breadth first (0-1 BFS).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from ...constrained.ebnf import ALL, Charset
from ...constrained.expressions import (
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
MAX_PAIRS = 100_000  # under a second
LAST_COUNTED = 127
_END = ""  # in a trie node: a token ends here

Trie = dict[str, Any]


class TooLargeError(Exception):
    """More states than are followed."""


def fewest_tokens(expression: Expression, rules: Rules, texts: Iterable[str]) -> int | None:
    """Return the least number of tokens of any text; None where it cannot be found.

    It is a lower bound where a text has free parts: characters of a set that goes beyond ASCII
    (which parts of tokens may spell), and recursions. They count nothing, and a token may begin or
    end anywhere in them.

    Args:
        expression: what derives the texts.
        rules: what it refers to.
        texts: those of the vocabulary's tokens.
    """
    automaton = _Automaton(rules)
    try:
        end = automaton.state()
        start = automaton.before(expression, end)
        return _search(automaton, start, end, frozenset(texts))
    except (TooLargeError, RecursionError):
        return None


class _Automaton:
    """States over characters, built from the end: a rule at the end of another shares its states.

    So a rule that ends in itself becomes a loop, and one that is used twice before the same end is
    built once. A recursion in the middle of a rule has no such form; it is taken as any text.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[tuple[str, int], int] = {}  # (rule, state behind it): state before it
        self._open: set[str] = set()
        self.silent: list[list[int]] = []
        self.edges: list[list[tuple[Charset, int]]] = []

    def state(self) -> int:
        """Add a state."""
        if len(self.silent) >= MAX_STATES:
            raise TooLargeError
        self.silent.append([])
        self.edges.append([])
        return len(self.silent) - 1

    def before(self, expression: Expression, end: int) -> int:
        """Add an expression; return the state before it, given the one behind it."""
        match expression:
            case Literal(text=text):
                for char in reversed(text):
                    end = self._edge(((ord(char), ord(char)),), end)
                return end
            case OneOf(chars=chars):
                return self._edge(chars, end)
            case Sequence(parts=parts):
                for part in reversed(parts):
                    end = self.before(part, end)
                return end
            case Choice(options=options):
                start = self.state()
                self.silent[start] += [self.before(option, end) for option in options]
                return start
            case Repeat(part=part, low=low, high=high):
                if high is None or high > low:
                    # One round more is as good as any number: it only lets a token span rounds.
                    more = self.state()
                    self.silent[more] += [end, self.before(part, more)]
                    end = more
                for _ in range(low):
                    end = self.before(part, end)
                return end
            case Reference(rule=rule):
                return self._rule(rule, end)

    def _edge(self, chars: Charset, end: int) -> int:
        start = self.state()
        if chars:
            self.edges[start].append((chars, end))
        return start

    def _rule(self, rule: str, end: int) -> int:
        if rule not in self._rules:
            raise TooLargeError
        if (rule, end) not in self._known and rule in self._open:
            return self._edge(ALL, end)
        if (rule, end) not in self._known:
            start = self._known[rule, end] = self.state()
            self._open.add(rule)
            self.silent[start].append(self.before(self._rules[rule], end))
            self._open.discard(rule)
        return self._known[rule, end]


@lru_cache(maxsize=1)  # a program has one tokenizer, and many constraints
def _beginnings(texts: frozenset[str]) -> Trie:
    return _trie(texts)


@lru_cache(maxsize=1)
def _endings(texts: frozenset[str]) -> Trie:
    """What a token may go on with behind free text, before or in which it began."""
    endings = _trie(text[i:] for text in texts for i in range(len(text)))
    endings[_END] = True
    return endings


def _trie(texts: Iterable[str]) -> Trie:
    root: Trie = {}
    for text in texts:
        node = root
        for char in text:
            node = node.setdefault(char, {})
        if text:
            node[_END] = True
    return root


def _search(automaton: _Automaton, start: int, end: int, texts: frozenset[str]) -> int | None:
    """0-1 BFS; a pair at the root of the trie is between two tokens."""
    root = _beginnings(texts)
    is_free = any(chars[-1][1] > LAST_COUNTED for edges in automaton.edges for chars, _ in edges)
    endings = _endings(texts) if is_free else root
    best: dict[tuple[int, int], int] = {(start, id(root)): 0}
    queue: deque[tuple[int, int, Trie]] = deque([(0, start, root)])
    while queue:
        cost, state, node = queue.popleft()
        if best.get((state, id(node)), cost) < cost:
            continue
        if state == end and node is root:
            return cost
        for price, after, inner in _steps(automaton, state, node, root, endings):
            key = (after, id(inner))
            if cost + price < best.get(key, cost + price + 1):
                best[key] = cost + price
                if len(best) > MAX_PAIRS:
                    raise TooLargeError
                (queue.append if price else queue.appendleft)((cost + price, after, inner))
    return None


def _steps(
    automaton: _Automaton, state: int, node: Trie, root: Trie, endings: Trie
) -> Iterator[tuple[int, int, Trie]]:
    for after in automaton.silent[state]:
        yield 0, after, node
    if _END in node:
        yield 0, state, root
    price = 1 if node is root else 0
    for chars, after in automaton.edges[state]:
        if chars[-1][1] > LAST_COUNTED:
            yield 0, after, endings
            continue
        for char in _shared(chars, node):
            yield price, after, node[char]


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
