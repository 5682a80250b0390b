"""`GET /metrics`: the scheduler in numbers, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from aiohttp import web

from ..messages import State
from .native import desk_of

__all__ = ["written"]

routes = web.RouteTableDef()

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "radixlm_"


class Metric(NamedTuple):
    """One number. A counter only grows, and begins anew with the server."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    read: Callable[[State], float]


METRICS = (
    Metric("requests_running", "gauge", "Requests that are computed", lambda s: s.running),
    Metric("requests_waiting", "gauge", "Requests that wait", lambda s: s.waiting),
    Metric("pool_tokens", "gauge", "Slots of the KV pool", lambda s: s.pool),
    Metric("free_tokens", "gauge", "Slots that hold nothing", lambda s: s.free),
    Metric("cached_tokens", "gauge", "Slots that hold what may be evicted", lambda s: s.cached),
    Metric("leased_tokens", "gauge", "Slots in use, pinned ones included", lambda s: s.leased),
    Metric("pinned_tokens", "gauge", "Slots of pinned prefixes", lambda s: s.pinned),
    Metric("tokens_per_second", "gauge", "Generated lately", lambda s: s.last_throughput),
    Metric("steps_total", "counter", "Turns of the scheduler", lambda s: s.steps),
    Metric("generated_tokens_total", "counter", "Tokens generated", lambda s: s.generated_tokens),
    Metric("forced_tokens_total", "counter", "Of these, by grammars", lambda s: s.forced_tokens),
    Metric("prompt_tokens_total", "counter", "Tokens of prompts", lambda s: s.prompt_tokens),
    Metric("prompt_cached_tokens_total", "counter", "Of these, cached", lambda s: s.cached_tokens),
    Metric("grammars_queued", "gauge", "Grammars that wait", lambda s: s.grammars.queued),
    Metric("grammars_compiling", "gauge", "In the works", lambda s: s.grammars.compiling),
    Metric("grammars_kept", "gauge", "Kept compiled", lambda s: s.grammars.kept),
    Metric(
        "grammars_kept_bytes", "gauge", "Their size, estimated", lambda s: s.grammars.kept_bytes
    ),
    Metric("grammars_compiled_total", "counter", "Compiled", lambda s: s.grammars.compiled),
    Metric("grammars_from_disk_total", "counter", "Of these, read", lambda s: s.grammars.from_disk),
    Metric("grammars_refused_total", "counter", "Refused", lambda s: s.grammars.refused),
    Metric(
        "grammars_over_limit_total",
        "counter",
        "Refused for the time or the memory that compiling them takes",
        lambda s: s.grammars.over_limit,
    ),
    Metric("grammars_timed_out_total", "counter", "Not in time", lambda s: s.grammars.timed_out),
    Metric("grammars_cancelled_total", "counter", "Given up", lambda s: s.grammars.cancelled),
    Metric("grammars_hits_total", "counter", "Found kept or in work", lambda s: s.grammars.hits),
)


@routes.get("/metrics")
async def get_metrics(request: web.Request) -> web.Response:
    """Return all metrics."""
    text = written(await desk_of(request).state())
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})


def written(state: State) -> str:
    """Write a state's numbers."""
    lines: list[str] = []
    for metric in METRICS:
        name = PREFIX + metric.name
        lines += [f"# HELP {name} {metric.help}.", f"# TYPE {name} {metric.kind}"]
        lines.append(f"{name} {metric.read(state)!r}")
    return "\n".join(lines) + "\n"
