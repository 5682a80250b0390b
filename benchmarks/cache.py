"""How much of what could be reused the cache and the scheduler do reuse, on recorded traffic.

    RADIXLM_DATA=folder python benchmarks/cache.py [--policies] [--json]

The real scheduler and the real tree serve a trace; the model is replaced by a clock. Two traces:
`mooncake`, the block hashes of a public chat service, and `conversations`, dialogues of several
turns. Caches hold 10, 25 and 50 % of the trace's distinct tokens. A hit rate is the share of all
prompt tokens that were cached when their request was first admitted.

Order matters where requests wait, so time is stretched to three loads: `steady`, where hardly any
wait; `busy`, where the queue grows; `backlog`, where all are there at the start.

The optimum is Belady's on the prefix tree: requests one at a time, in the order of the trace,
each in need of all its pages at once; room is made by the page whose next use is farthest away. A
page is used whenever one below it is, so that is always a leaf. Replies are cached as well: a
dialogue's next turn repeats them; those of `mooncake`, of which the trace gives no hashes, nobody
does. (Belady, "A study of replacement algorithms for a virtual-storage computer", 1966.)
"""

from __future__ import annotations

import argparse
import heapq
import json
import lzma
import math
import os
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

from radixlm.radix_cache import RadixCache, Tokens  # noqa: E402
from radixlm.runtime.config import ModelConfig, ScheduleConfig  # noqa: E402
from radixlm.runtime.messages import Submit  # noqa: E402
from radixlm.runtime.request import RequestId, SamplingParams  # noqa: E402
from radixlm.runtime.scheduler.job import Job  # noqa: E402
from radixlm.runtime.scheduler.schedule import Scheduler  # noqa: E402
from radixlm.runtime.tokenizer import load_tokenizer  # noqa: E402

PAGE = 16  # tokens; a block of 512 in the mooncake trace becomes one page
SHRINK = 512 // PAGE  # of its lengths, and of its time as well, so that ratios stay
DIALOGUES = 500
LOADS = {"steady": 0.8, "busy": 1.5, "backlog": math.inf}
SHARES = (0.10, 0.25, 0.50)  # of the distinct pages, what a cache holds
PREFILL_TOKENS_A_SECOND = 10_000
PASS_S = 0.010  # a pass with hardly a token in it
NEVER = 1 << 60


@dataclass(frozen=True, slots=True)
class Request:
    """What arrives, and what the model will answer."""

    at_s: float
    prompt: Tokens  # [n]
    reply: Tokens  # [m], m >= 1
    after: int | None = None  # the request whose reply its client reads first,
    think_s: float = 0.0  # for so long: it arrives then, and not at `at_s`


def mooncake(path: Path) -> list[Request]:
    """Read block hashes: equal ids are equal blocks after equal prefixes."""
    requests: list[Request] = []
    with lzma.open(path, "rt") as lines:
        records = [json.loads(line) for line in lines]
    unique = PAGE * (1 + max(max(record["hash_ids"]) for record in records))
    for record in records:
        ids = np.array(record["hash_ids"], dtype=np.int32)
        prompt = (ids[:, None] * PAGE + np.arange(PAGE)).reshape(-1).astype(np.int32)
        length = max(record["input_length"] // SHRINK, len(prompt) - PAGE + 1)
        count = max(record["output_length"] // SHRINK, 1)
        reply = np.arange(unique, unique + count, dtype=np.int32)
        unique += count
        requests.append(Request(record["timestamp"] / 1000 / SHRINK, prompt[:length], reply))
    return requests


def conversations(path: Path) -> list[Request]:
    """Read dialogues; they begin at random, and each turn brings all that was said before it."""
    tokenizer = load_tokenizer(ModelConfig())
    rng = random.Random(0)
    with lzma.open(path, "rt") as lines:
        dialogues = [json.loads(line)["messages"] for line in lines]
    turns: list[tuple[Request, int]] = []  # with the number of the dialogue
    for number, messages in enumerate(dialogues[:DIALOGUES]):
        at_s, think_s, said = rng.uniform(0, 3600), 0.0, np.empty(0, dtype=np.int32)
        for asked, answered in zip(messages[::2], messages[1::2], strict=False):
            texts = [f"{message['role']}: {message['content']}\n" for message in (asked, answered)]
            question, reply = (np.array(tokenizer.encode(text), np.int32) for text in texts)
            said = np.concatenate([said, question])
            turns.append((Request(at_s, said, reply, think_s=think_s), number))
            said = np.concatenate([said, reply])
            think_s = rng.expovariate(1 / 30)  # to read, to think and to type
            at_s += think_s
    turns.sort(key=lambda turn: turn[0].at_s)
    latest: dict[int, int] = {}
    requests: list[Request] = []
    for index, (request, number) in enumerate(turns):
        requests.append(replace(request, after=latest.get(number)))
        latest[number] = index
    return requests


TRACES: dict[str, tuple[str, Callable[[Path], list[Request]]]] = {
    "mooncake": ("traces/mooncake_conversation_first60pct.jsonl.xz", mooncake),
    "conversations": ("bench/multi_turn_conversations.jsonl.xz", conversations),
}


def paced(requests: Sequence[Request], load: float) -> list[Request]:
    """Stretch time: `load` times what there is would be needed to compute every prompt in full."""
    work_s = sum(len(request.prompt) for request in requests) / PREFILL_TOKENS_A_SECOND
    stretch = work_s / load / requests[-1].at_s
    return [
        replace(request, at_s=request.at_s * stretch, think_s=request.think_s * stretch)
        for request in requests
    ]


def page_paths(requests: Iterable[Request]) -> list[list[int]]:
    """Number the pages that each request leaves: a page is its tokens and its prefix.

    The last token of a reply is never computed.
    """
    numbers: dict[tuple[int, bytes], int] = {}
    found: list[list[int]] = []
    for request in requests:
        tokens = np.concatenate([request.prompt, request.reply[:-1]])
        before, path = -1, list[int]()
        for end in range(PAGE, len(tokens) + 1, PAGE):
            key = before, tokens[end - PAGE : end].tobytes()
            before = numbers.setdefault(key, len(numbers))
            path.append(before)
        found.append(path)
    return found


def num_reusable(request: Request) -> int:
    """Return how many pages of the prompt can be reused: its last token is always computed."""
    return (len(request.prompt) - 1) // PAGE


def optimum(paths: Sequence[Sequence[int]], reusable: Sequence[int], capacity: int) -> int:
    """Return how many pages the best cache of `capacity` pages finds.

    Args:
        paths: of each request, the pages that it leaves, from the root down.
        reusable: of each request, how many of its pages can count as found.
        capacity: pages kept from one request to the next.
    """
    next_use, seen = list[list[int]](), dict[int, int]()
    for now in range(len(paths) - 1, -1, -1):
        next_use.append([seen.get(page, NEVER) for page in paths[now]])
        # A page that the request only writes is not used by it: nothing is lost if it is gone.
        seen.update(dict.fromkeys(paths[now][: reusable[now]], now))
    next_use.reverse()
    cached: dict[int, int] = {}  # page → its next use
    farthest: list[tuple[int, int, int]] = []  # next use, depth (both negative), page
    hits = 0
    for path, uses, countable in zip(paths, next_use, reusable, strict=True):
        hits += sum(page in cached for page in path[:countable])
        for depth, (page, use) in enumerate(zip(path, uses, strict=True)):
            cached[page] = use
            heapq.heappush(farthest, (-use, -depth, page))
        while len(cached) > capacity:
            use, _, page = heapq.heappop(farthest)
            if cached.get(page) == -use:
                del cached[page]
    return hits


class Clock:
    """Simulated seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """What serving a trace came to."""

    hit_rate: float
    wait_s: float  # simulated; mean from arrival to the first token
    longest_wait_s: float


def serve(requests: Sequence[Request], slots: int, *, order: str, eviction: str) -> Outcome:
    """Serve a trace with the real scheduler, in simulated time, as the loop does."""
    clock = Clock()
    cache = RadixCache(slots, policy=eviction, page_size=PAGE, clock=clock)
    scheduler = Scheduler(cache, msgspec.convert({"schedule_policy": order}, ScheduleConfig), clock)
    coming = [(request.at_s, at) for at, request in enumerate(requests) if request.after is None]
    heapq.heapify(coming)
    next_turn = {request.after: at for at, request in enumerate(requests)}
    arrived_s: dict[int, float] = {}
    waits: list[float] = []
    cached = 0
    while coming or scheduler.has_work:
        while coming and coming[0][0] <= clock.now_s:
            at_s, index = heapq.heappop(coming)
            arrived_s[index] = at_s
            scheduler.add(_job(index, requests[index]))
        plan = scheduler.plan()
        if not plan:
            clock.now_s = coming[0][0]
            continue
        clock.now_s += PASS_S + sum(piece.count for piece in plan.slices) / PREFILL_TOKENS_A_SECOND
        sampling = [piece.job for piece in plan.slices if piece.samples]
        scheduler.commit(plan)
        ended = _decode(scheduler, requests) if plan.decoding else []
        for job in sampling:
            index = int(job.submit.rid)
            if job.generated == 0:
                cached += job.cached
                waits.append(clock.now_s - arrived_s[index])
            job.append(int(requests[index].reply[job.generated]))
            if job.generated < job.max_new:
                scheduler.settle(job)
            else:
                ended.append(job)
        for job in ended:
            scheduler.end(job)
            if (turn := next_turn.get(int(job.submit.rid))) is not None:
                heapq.heappush(coming, (clock.now_s + requests[turn].think_s, turn))
    total = sum(len(request.prompt) for request in requests)
    return Outcome(cached / total, sum(waits) / len(waits), max(waits))


def _decode(scheduler: Scheduler, requests: Sequence[Request]) -> list[Job]:
    """Give each job in the columns its next token; return those that have their last."""
    columns = scheduler.decoding
    tokens = [
        requests[int(rid)].reply[at]
        for rid, at in zip(columns.rids, columns.generated().tolist(), strict=True)
    ]
    columns.inputs()
    columns.sampled(slice(None))
    _, ending = columns.read(np.array(tokens, dtype=np.int64))
    return columns.leave(ending, ended=True) if ending else []


def _job(index: int, request: Request) -> Job:
    submit = Submit(
        rid=RequestId(str(index)),
        tokens=request.prompt.tolist(),
        sampling=SamplingParams(temperature=0, max_new_tokens=len(request.reply)),
        seed=0,
    )
    return Job.of(submit, max_new=len(request.reply))


def measure(name: str, folder: Path, *, all_policies: bool) -> list[dict[str, Any]]:
    """Serve a trace at every load and size."""
    file, read = TRACES[name]
    requests = read(folder / file)
    paths, reusable = page_paths(requests), [num_reusable(request) for request in requests]
    distinct = len({page for path in paths for page in path})
    total = sum(len(request.prompt) for request in requests)
    print(f"{name}: {len(requests)} requests, {total} tokens, {distinct * PAGE} of them distinct")
    orders = ("fcfs", "lpm", "dfs-weight")
    evictions = ("lru", "slru", "lfu", "fifo") if all_policies else ("lru",)
    found: list[dict[str, Any]] = []
    for share, (load, factor) in product(SHARES, LOADS.items()):
        capacity = int(distinct * share)
        best = optimum(paths, reusable, capacity) * PAGE / total
        arriving = paced(requests, factor)
        rates: dict[str, float] = {}
        for order, eviction in product(orders, evictions):
            outcome = serve(arriving, capacity * PAGE, order=order, eviction=eviction)
            rates[f"{order}/{eviction}"] = round(outcome.hit_rate, 4)
            print(
                f"  {share:4.0%} {load:8} {order:5} {eviction:5} hit rate {outcome.hit_rate:6.1%}, "
                f"{outcome.hit_rate / best:6.1%} of the optimum's {best:.1%}; first token after "
                f"{outcome.wait_s:.2f} s, at most {outcome.longest_wait_s:.2f} s",
                flush=True,
            )
        line = {"trace": name, "load": load, "size": share, "hit_rate": rates["lpm/lru"]}
        line |= {"optimum": round(best, 4), "lru_fcfs": rates["fcfs/lru"]}
        line["of_optimum"] = round(rates["lpm/lru"] / best, 4)
        found.append(line | ({"policies": rates} if all_policies else {}))
    return found


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policies", action="store_true", help="try every eviction policy")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if "RADIXLM_DATA" not in os.environ:
        sys.exit("cache.py: set RADIXLM_DATA to the folder with traces/ and bench/")
    folder = Path(os.environ["RADIXLM_DATA"])
    found: list[dict[str, Any]] = []
    for name in TRACES:
        found += measure(name, folder, all_policies=options.policies)
    if options.json:
        print(json.dumps({"cache": found}))


if __name__ == "__main__":
    main()
