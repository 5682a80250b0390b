"""A dictionary of pages: what the cache should hold, without a tree.

The model knows no nodes: it has one entry for each cached page, with what was ever claimed of it.
A path, that is a namespace and tokens, is a number (see `Paths`). From that it foresees what
expires and, for policies whose rank is a page's own, what is evicted. Beside it stands the memory
itself: `memory[slot]` says which path a request wrote there, so that a slot given out twice, or for
another path, is seen as soon as anybody reads it; so does `host_memory` of the host's slots.
"""

from dataclasses import dataclass, field
from itertools import takewhile
from math import inf

from radixlm.radix_cache import Lease, Namespace, NodeInfo, RadixCache
from radixlm.radix_cache.host import ABSENT


class Paths:
    """Numbers for namespaces followed by tokens; equal ones have equal numbers."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, int], int] = {}

    def along(self, namespace: Namespace, tokens: list[int]) -> list[int]:
        """Return the number of the path to the end of each token."""
        found: list[int] = []
        last: object = namespace
        for token in tokens:
            last = self._numbers.setdefault((last, token), len(self._numbers))
            found.append(last)
        return found


@dataclass(eq=False)
class Request:
    namespace: Namespace
    tokens: list[int]
    lease: Lease
    paths: list[int]
    priority: int
    ttl_s: float


@dataclass
class Page:
    above: int | None  # the page before it
    hits: int = 0
    used: int = 0  # when a holder last let it go, or somebody touched it
    priority: int = -(10**9)
    expires_s: float = -inf


@dataclass
class PinModel:
    pages: list[int]
    priority: int
    until_s: float


@dataclass
class World:
    cache: RadixCache
    policy: str
    page_size: int
    repeat: int  # of each token
    quota: int
    now_s: float = 0.0
    events: int = 0
    paths: Paths = field(default_factory=Paths)
    pages: dict[int, Page] = field(default_factory=dict[int, Page])
    memory: dict[int, int] = field(default_factory=dict[int, int])
    host_memory: dict[int, int] = field(default_factory=dict[int, int])
    running: list[Request] = field(default_factory=list[Request])
    pins: dict[tuple[Namespace, str], PinModel] = field(
        default_factory=dict[tuple[Namespace, str], PinModel]
    )

    def ends(self, paths: list[int]) -> list[int]:
        """Return the paths that end with a whole page."""
        return paths[self.page_size - 1 :: self.page_size]

    def matched(self, paths: list[int]) -> list[int]:
        return list(takewhile(self.pages.__contains__, self.ends(paths)))

    def held(self) -> set[int]:
        leased = (self.ends(r.paths[: r.lease.locked]) for r in self.running)
        return set[int]().union(*leased, *(pin.pages for pin in self.pins.values()))

    def pinned(self) -> set[int]:
        return set[int]().union(*(pin.pages for pin in self.pins.values()))

    def put(self, paths: list[int]) -> None:
        above = None
        for path in self.ends(paths):
            self.pages.setdefault(path, Page(above))
            above = path

    def use(self, pages: list[int]) -> None:
        self.events += 1
        for path in pages:
            self.pages[path].used = self.events

    def let_go(self, pages: list[int], priority: int, ttl_s: float) -> None:
        self.use(pages)
        for path in pages:
            page = self.pages[path]
            page.priority = max(page.priority, priority)
            page.expires_s = max(page.expires_s, self.now_s + ttl_s)

    def rank(self, path: int) -> tuple[int, int]:
        page = self.pages[path]
        first = {"lru": 0, "lfu": page.hits, "priority": page.priority}[self.policy]
        return first, page.used

    def evict(self, count: int) -> None:
        """Remove the pages that must go for `count` slots."""
        held = self.held()
        for _ in range(-(-count // self.page_size)):
            inner = {page.above for page in self.pages.values()}
            del self.pages[min(self.pages.keys() - held - inner, key=self.rank)]

    def carry_out(self) -> None:
        """Do the copies that are ordered."""
        host = self.cache.host
        if host is None:
            return
        plan = host.plan()
        for order in plan:
            pairs = list(zip(order.device.tolist(), order.host.tolist(), strict=True))
            if order.to_host:
                self.host_memory |= {there: self.memory[here] for here, there in pairs}
            else:
                self.memory |= {here: self.host_memory[there] for here, there in pairs}
        host.apply(plan)

    def stored(self) -> dict[int, int]:
        """Return the host slot of each path that the host has, as it says itself."""
        found: dict[int, int] = {}
        for namespace, tokens, slots in self.cache.host.entries() if self.cache.host else []:
            paths = self.paths.along(namespace, tokens.tolist())
            pairs = zip(paths, slots.tolist(), strict=True)
            found |= {path: slot for path, slot in pairs if slot != ABSENT}
        return found

    def sweep(self) -> None:
        for key, pin in list(self.pins.items()):
            if pin.until_s <= self.now_s:
                del self.pins[key]
                self.let_go(pin.pages, pin.priority, 0.0)
        held = self.held()
        for path, page in list(self.pages.items()):
            if path not in held and page.expires_s <= self.now_s:
                del self.pages[path]

    def cached(self) -> dict[int, NodeInfo]:
        """Return what the cache itself says: the node of each of its pages."""
        found: dict[int, NodeInfo] = {}
        above: list[list[int]] = []  # the tokens up to the end of each node on the way
        for node in self.cache.list_nodes(max_nodes=10**6, max_tokens=10**6):
            tokens = [*(above[node.depth - 1] if node.depth else []), *node.tokens]
            above[node.depth :] = [tokens]
            paths = self.paths.along(node.namespace, tokens)
            ends = self.ends(paths)[node.start // self.page_size :]
            found |= dict.fromkeys(ends, node)
        return found

    def check(self) -> None:
        """Assert that the cache has the model's pages, with the same claims once let go."""
        cached, held = self.cached(), self.held()
        assert cached.keys() == self.pages.keys()
        for path, page in self.pages.items():
            node = cached[path]
            assert node.hits == page.hits
            if path not in held:
                assert node.priority == page.priority
                left = None if page.expires_s == inf else page.expires_s - self.now_s
                assert node.ttl_left_s == left
