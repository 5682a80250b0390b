"""Processes and their memory, read from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """One process.

    Attributes:
        pid: its number.
        parent: that of who started it.
        name: the module or script that it runs.
        resident_bytes: its memory in use; what it shares with others counts for each.
    """

    pid: int
    parent: int
    name: str
    resident_bytes: int


def family(pid: int) -> list[Process]:
    """Return a process and all that it and those have started."""
    every = [found for folder in Path("/proc").glob("[0-9]*") if (found := _read(folder))]
    members = {pid}
    while more := {one.pid for one in every if one.parent in members} - members:
        members |= more
    return sorted((one for one in every if one.pid in members), key=lambda one: one.pid)


def _read(folder: Path) -> Process | None:
    try:
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        pages = int((folder / "statm").read_text().split()[1])
    except OSError:  # it has ended in the meantime
        return None
    name = next((word for word in words[1:] if "." in word), words[0])
    return Process(int(folder.name), parent, Path(name).name, pages * PAGE_BYTES)
