"""Variables: read before anything binds them, or bound for nobody."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from .finding import Finding, finding
from .trace import Site, Trace


def unbound(trace: Trace) -> Iterator[Finding]:
    """Reads of variables that nothing has bound, on all ways or on some."""
    bound = sorted({site.name for site in trace.sites.values() if site.name})
    for (place, name), statuses in trace.reads.items():
        if statuses == {"unbound"}:
            near = difflib.get_close_matches(name, bound, n=1)
            here = ", ".join(map(repr, bound)) or "nothing"
            meant = f"Did you mean {near[0]!r}? " if near else ""
            yield finding(
                place.file,
                place.line,
                "unbound-variable",
                f"s[{name!r}] is read, but no gen or select before it binds {name!r}; "
                f"bound in this program: {here}",
                f"{meant}Generate it before, or make it an argument of the function.",
            )
        elif "unbound" in statuses or "maybe" in statuses:
            yield finding(
                place.file,
                place.line,
                "maybe-unbound-variable",
                f"s[{name!r}] is read, but only some of the ways to this line bind {name!r}; "
                "on the others the run ends with UnboundVariableError",
                f"Bind it on every way, or ask `if {name!r} in s:` before.",
            )


def shadowed(trace: Trace) -> Iterator[Finding]:
    """Values that are bound again before anybody has read them."""
    for old, new in trace.overwritten.items():
        first, second = trace.sites[old], trace.sites.get(new)
        if old in trace.read or old in trace.alive or second is None or old == new:
            continue
        yield finding(
            second.place.file,
            second.place.line,
            "shadowed-variable",
            f"{_what(second)} binds {second.name!r} again, and nothing has read what "
            f"{_what(first)} of line {first.place.line} has put there",
            "Give one of the two another name, or read the first before.",
        )


def shadowed_arguments(trace: Trace) -> Iterator[Finding]:
    """Arguments that are read after a gen of their name, which nobody reads."""
    for position, site_id in enumerate(trace.order):
        site = trace.sites[site_id]
        if site.by not in ("gen", "select") or site.name in trace.names_read:
            continue
        for bound_before, name, place in trace.arguments_read:
            if name == site.name and bound_before > position:
                yield finding(
                    place.file,
                    place.line,
                    "shadowed-argument",
                    f"the argument {name!r} is read here, though line {site.place.line} has "
                    f"generated a variable of that name, which nothing reads",
                    f"Write s[{name!r}] for what was generated, or rename one of the two.",
                )
                break


def _what(site: Site) -> str:
    return {"gen": "the gen", "select": "the select"}.get(site.by, f"the {site.by}")
