"""Compiling C++ kernels at first use.

A kernel is plain C++ with a C interface, without torch's headers: it compiles in four seconds, for
the very CPU that it runs on, and is loaded with ctypes. The result is kept in the user's cache
folder, under a name made of everything that went into it.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).resolve().parent / "csrc"
# Not -ffast-math: it would make every thread of the process flush denormals, and a result would
# depend on how the compiler regrouped a sum.
FLAGS = ("-O3", "-march=native", "-std=c++20", "-fPIC", "-shared", "-pthread", "-Wno-psabi")
COMPILE_TIMEOUT_S = 120
DECODER = "decoder.cpp"  # a whole pass of a model: see `models/native.py`
SAMPLER = "sampler.cpp"  # tokens of a batch from its logits: see `engine/native_sampler.py`
DISTORTION = "distortion.cpp"  # what masks did to logits: see `engine/native_distortion.py`

_compiling = threading.Lock()  # one thread of a process at a time


class KernelError(Exception):
    """A kernel cannot be used here; the message says why."""


def cache_folder() -> Path:
    """Return where compiled kernels and grammars are kept, each kind in a folder of its own.

    `$XDG_CACHE_HOME/radixlm`, or `~/.cache/radixlm`.
    """
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "radixlm"


def load_library(source: str) -> ctypes.CDLL:
    """Compile `csrc/<source>` unless that was done before, and load it.

    Raises:
        KernelError: there is no compiler, it fails, or what it made can't be loaded.
    """
    path = compiled(source)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelError(f"{path} cannot be loaded: {error}") from error


def compile_ahead(*sources: str) -> None:
    """Start to compile on a thread, for a `load_library` later; failures wait for that."""

    def work() -> None:
        for source in sources:
            with contextlib.suppress(KernelError):
                compiled(source)

    threading.Thread(target=work, name="radixlm-compile", daemon=True).start()


def compiled(source: str) -> Path:
    """Return the shared library of `csrc/<source>`, compiled now or before.

    Raises:
        KernelError: there is no compiler, or it fails.
    """
    with _compiling:
        compiler = os.environ.get("CXX") or shutil.which("g++")
        if compiler is None:
            raise KernelError("no C++ compiler is found: install g++, or set CXX")
        try:
            name = f"{Path(source).stem}-{_fingerprint(compiler, SOURCES)}.so"
            path = cache_folder() / "kernels" / name
            if not path.exists():
                _compile(compiler, SOURCES / source, path)
            return path
        except subprocess.CalledProcessError as error:
            raise KernelError(f"{compiler} fails on {source}: {error.stderr[-2000:]}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KernelError(f"{source} cannot be compiled: {error}") from error


def _compile(compiler: str, source: Path, path: Path) -> None:
    logger.info("compiling %s for this CPU (once, some seconds)", source.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        subprocess.run(
            [compiler, *FLAGS, "-o", str(made), str(source)],
            check=True,
            capture_output=True,
            text=True,
            timeout=COMPILE_TIMEOUT_S,
        )
        made.replace(path)  # at once, whoever else compiles the same


@cache
def _fingerprint(compiler: str, sources: Path) -> str:
    """Return a name for sources, flags, compiler and CPU; a home may be shared by machines."""
    version = subprocess.run(
        [compiler, "--version"], check=True, capture_output=True, text=True, timeout=10
    ).stdout
    made_of = [version, *FLAGS, platform.machine(), _cpu_flags()]
    made_of += [path.read_text() for path in sorted(sources.iterdir())]
    return hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]


def _cpu_flags() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
