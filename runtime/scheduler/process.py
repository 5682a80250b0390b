"""Where a scheduler lives: a thread of this process, or a process of its own.

A scheduler process reads its configuration from standard input and keeps that pipe open: its end
means that the parent is gone, however it died, and the process removes the sockets and leaves.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import zmq

from ..config import EngineConfig
from ..errors import EngineError
from ..ipc import SchedulerEnd, Wire
from ..kernels.build import DECODER, DISTORTION, SAMPLER, cache_folder, compile_ahead
from ..messages import Fatal, Ready

# How long another thread of Python (an analysis of a grammar) may go on when a pass has ended.
# Beside such a one, 1.5 ms of native code took 70 and 112 ms (p99, two runs) with Python's own
# 5 ms, 33 and 31 ms with this, 12 and 22 ms alone.
SWITCH_S = 1e-4


class Order(msgspec.Struct, frozen=True):
    """What a scheduler process is told at its start."""

    config: EngineConfig
    wire: Wire


def serve(config: EngineConfig, wire: Wire, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    """Load the model, report `Ready`, and schedule until `Close`. Blocks.

    A failure is reported as `Fatal`, never raised.
    """
    end = SchedulerEnd(wire, context)
    try:
        if config.model.device != "cuda" and not config.model.disable_cpu_kernels:
            compile_ahead(DECODER, SAMPLER, DISTORTION)  # while torch is imported
        # Heavy imports happen here, so that whoever starts a scheduler does not pay for them.
        from ..engine.runner import Runner
        from ..tokenizer import load_tokenizer
        from .forced import Forcing
        from .loop import Loop

        runner = Runner.load(config.model, config.cache)
        tokenizer = load_tokenizer(config.model)
        vocabulary = tokenizer.vocabulary(runner.vocab_size, runner.eos_token_ids)
        folder = Path(config.cache.cache_dir) if config.cache.cache_dir else cache_folder()
        compiler = tokenizer.grammar_compiler(
            vocabulary, config.schedule.grammar_backend, folder / "grammars"
        )
        # Closed however this ends: its threads, alive at the interpreter's exit, would abort it.
        with closing(compiler):
            forces = not config.schedule.disable_forced_runs
            forcing = Forcing(tokenizer.spelling(vocabulary)) if forces else None
            loop = Loop(config, runner, compiler, end, forcing)
            end.send(
                Ready(
                    vocab_size=runner.vocab_size,
                    context_length=runner.context_length,
                    pool_tokens=runner.num_slots,
                    dtype=str(runner.dtype).removeprefix("torch."),
                    device=str(runner.device),
                    model_type=runner.model_type,
                    architectures=list(runner.architectures),
                    eos_token_ids=tuple(runner.eos_token_ids),
                    vision=runner.vision,
                    pooling=runner.pooling,
                    normalizes=runner.normalizes,
                )
            )
            if not config.in_process:
                compiler.prepare()  # so that the first grammar need not wait for the process
                gc.collect()
                gc.freeze()  # a full collection walks what is loaded for 0.3 s, and all wait
            loop.run()
            gc.unfreeze()
    except zmq.ZMQError:  # the desk is gone: there is nobody to tell
        pass
    except EngineError as error:
        _report(end, str(error))
    except Exception as error:
        logging.getLogger(__name__).exception("the scheduler ended")
        _report(end, f"{type(error).__name__}: {error}")
    finally:
        end.close()


def _report(end: SchedulerEnd, error: str) -> None:
    with suppress(zmq.ZMQError):  # the desk may have failed first, and be gone
        end.send(Fatal(error=error))


def main() -> None:
    """Run a scheduler process; see `launch.start_scheduler`."""
    logging.basicConfig(level=os.environ.get("RADIXLM_LOG_LEVEL", "WARNING").upper())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    sys.setswitchinterval(SWITCH_S)
    pipe = sys.stdin.fileno()
    length = int.from_bytes(_read(pipe, 4), "big")
    order = msgspec.msgpack.decode(_read(pipe, length), type=Order)

    def watch_parent() -> None:
        _read(pipe, 1)  # returns when the parent closes the pipe or dies
        order.wire.remove()
        os._exit(0)

    threading.Thread(target=watch_parent, name="radixlm-parent", daemon=True).start()
    serve(order.config, order.wire, zmq.Context())


def _read(pipe: int, count: int) -> bytes:
    """Read `count` bytes, fewer at the pipe's end; unbuffered, so that exit finds no lock held."""
    data = b""
    while len(data) < count and (chunk := os.read(pipe, count - len(data))):
        data += chunk
    return data


if __name__ == "__main__":
    main()
