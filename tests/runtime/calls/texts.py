"""What the events of a text join to."""

from __future__ import annotations

from collections.abc import Sequence

from radixlm.runtime.calls.parser import Argued, Called, Event, Said, Thought

Found = tuple[str, str, list[tuple[str, str]]]


def joined(events: Sequence[Event]) -> Found:
    """What is said, thought, and called with which arguments."""
    said = "".join(event.text for event in events if isinstance(event, Said))
    thought = "".join(event.text for event in events if isinstance(event, Thought))
    calls: list[tuple[str, str]] = []
    for event in events:
        match event:
            case Called(index, name):
                assert index == len(calls)
                calls.append((name, ""))
            case Argued(index, text):
                assert index == len(calls) - 1
                calls[-1] = (calls[-1][0], calls[-1][1] + text)
            case _:
                pass
    return said, thought, calls
