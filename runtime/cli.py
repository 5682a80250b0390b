"""The command `radixlm serve`. Options are made from the configuration's fields."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from .calls.formats import find_format, find_thinking
from .config import CacheConfig, ModelConfig, ScheduleConfig, ServerConfig, engine_config
from .server import run_server

GROUPS: dict[str, type[msgspec.Struct]] = {
    "model": ModelConfig,
    "cache": CacheConfig,
    "schedule": ScheduleConfig,
    "server": ServerConfig,
}
ALIASES = {
    "model_path": ["--model"],
    "quantization": ["--torchao-config"],
    "request_timeout_s": ["--request-timeout"],
}


def add_serve(commands: Any) -> None:
    """Add `serve` to the subcommands of a parser; the options' `run` carries it out."""
    serve = commands.add_parser("serve", help="serve a model over HTTP")
    _add_server_options(serve)
    serve.set_defaults(run=_serve)


def launch_server(argv: Sequence[str] | None = None) -> int:
    """`python -m radixlm.launch_server`: the same as `radixlm serve`."""
    parser = argparse.ArgumentParser(
        prog="radixlm.launch_server", description="Serve a model over HTTP."
    )
    _add_server_options(parser)
    return _serve(parser.parse_args(argv))


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    for title, kind in GROUPS.items():
        group = parser.add_argument_group(title)
        hints = get_type_hints(kind)
        for field in msgspec.structs.fields(kind):
            name = "--" + field.name.replace("_", "-")
            types = get_args(hints[field.name]) or (hints[field.name],)
            options: dict[str, Any] = {"default": field.default, "dest": field.name}
            if bool in types:
                options["action"] = "store_true"
            elif get_origin(hints[field.name]) is Literal:
                options["choices"] = types
                options["help"] = "default: %(default)s"
            else:
                options["type"] = next(t for t in types if t is not type(None))
                options["metavar"] = options["type"].__name__.upper()
                if field.default is not None:
                    options["help"] = "default: %(default)s"
            group.add_argument(name, *ALIASES.get(field.name, []), **options)
    parser.add_argument("--random-seed", type=int, default=0, metavar="INT")


def _serve(options: argparse.Namespace) -> int:
    given = {k: v for k, v in vars(options).items() if k not in ("command", "run")}
    own = set(ServerConfig.__struct_fields__)
    server = ServerConfig(**{k: v for k, v in given.items() if k in own})
    level = server.log_level.upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ["RADIXLM_LOG_LEVEL"] = level  # for the scheduler process
    try:
        find_format(server.tool_call_parser, template="")
        find_thinking(server.reasoning_parser, template="")
        engine = engine_config(**{k: v for k, v in given.items() if k not in own})
    except ValueError as error:
        print(f"radixlm: {error}", file=sys.stderr)
        return 2
    return run_server(engine, server)
