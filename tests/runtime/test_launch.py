"""Two processes: what is left of them, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from radixlm.runtime.errors import EngineClosedError, ModelLoadError
from radixlm.runtime.launch import ProcessHandle
from radixlm.runtime.offline import Engine

pytestmark = pytest.mark.slow

ENDLESS = {"max_new_tokens": 1900, "ignore_eos": True}


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in place of /tmp, for the sockets. Short: a socket's path has 107 bytes."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="rlm-t"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    monkeypatch.undo()
    folder.rmdir()  # which fails if anything is left


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(holds: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def scheduler_pid(engine: Engine) -> int:
    assert engine._launched is not None
    assert isinstance(engine._launched.handle, ProcessHandle)
    return engine._launched.handle.pid


def test_closing_leaves_no_process_and_no_socket(tiny_model: str, scratch: Path) -> None:
    with Engine(model_path=tiny_model) as engine:
        pid = scheduler_pid(engine)
        assert is_alive(pid)
        [folder] = scratch.iterdir()
        assert folder.stat().st_mode & 0o077 == 0, "for this user alone"
        assert len(engine.generate("a", {"max_new_tokens": 3, "ignore_eos": True})["text"]) > 0
    assert not is_alive(pid)
    assert list(scratch.iterdir()) == []


def test_a_killed_scheduler_fails_what_is_open_and_what_comes(
    tiny_model: str, scratch: Path
) -> None:
    with Engine(model_path=tiny_model) as engine:
        errors: list[BaseException] = []

        def work() -> None:
            try:
                engine.generate("a", ENDLESS)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        chunks = engine.generate("a", ENDLESS, stream=True)
        next(chunks)
        os.kill(scheduler_pid(engine), signal.SIGKILL)
        with pytest.raises(EngineClosedError, match="ended unexpectedly"):
            list(chunks)
        for thread in threads:
            thread.join(10)
        assert [type(error) for error in errors] == [EngineClosedError] * 3
        with pytest.raises(EngineClosedError):
            engine.generate("a")
    assert list(scratch.iterdir()) == []


def test_a_killed_parent_takes_the_scheduler_and_its_sockets_along(
    tiny_model: str, scratch: Path
) -> None:
    script = (
        "import sys, radixlm as rl\n"
        f"engine = rl.Engine(model_path={tiny_model!r})\n"
        "print(engine._launched.handle.pid, flush=True)\n"
        f"engine.generate('a', {ENDLESS!r})\n"
        "sys.stdin.read()\n"
    )
    source = str(Path(__file__).parents[2] / "src")
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        wait_until(lambda: not is_alive(pid) and not list(scratch.iterdir()))


@pytest.mark.parametrize("ending", ["", "engine.shutdown()", "del engine"])
def test_a_script_ends_without_a_word(ending: str, tiny_model: str, scratch: Path) -> None:
    in_process = ending != ""
    script = (
        "import radixlm as rl\n"
        f"engine = rl.Engine(model_path={tiny_model!r}, in_process={in_process})\n"
        "chunks = engine.generate('a', {'max_new_tokens': 500, 'ignore_eos': True}, stream=True)\n"
        "next(chunks)\n"
        f"{ending}\n"
    )
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(scratch.iterdir()) == []


def test_a_checkpoint_without_weights_is_named_and_leaves_nothing(
    tiny_model: str, scratch: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in Path(tiny_model).iterdir():
        if file.suffix != ".safetensors":
            (broken / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelLoadError, match="broken"):
        Engine(model_path=str(broken))
    assert list(scratch.iterdir()) == []


def test_a_process_that_cannot_be_started_leaves_nothing(
    tiny_model: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", fail)
    with pytest.raises(OSError, match="no more processes"):
        Engine(model_path=tiny_model)
    assert list(scratch.iterdir()) == []
