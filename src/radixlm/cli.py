"""The command `radixlm`: `serve` a model, look at its `cache`, `check` programs and a `schema`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from .lang.check import Report
from .lang.function import Function

SHIPPED = "shipped"  # names the tokenizer of the model that ships


class LoadError(Exception):
    """A file to check cannot be imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="radixlm", description="Structured generation.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_check(commands)
    given = sys.argv[1:] if argv is None else argv
    if given[:1] != ["check"]:  # what serves imports torch
        from .runtime.cache_cli import add_cache
        from .runtime.cli import add_serve
        from .runtime.schema_cli import add_schema

        add_serve(commands)
        add_cache(commands)
        add_schema(commands)
    options = parser.parse_args(given)
    code: int = options.run(options)
    return code


def _add_check(commands: Any) -> None:
    check = commands.add_parser("check", help="look for faults in programs; needs no model")
    check.add_argument("files", nargs="+", metavar="FILE", help="Python files with programs")
    check.add_argument(
        "--tokenizer",
        metavar="DIR",
        help=f"folder of a checkpoint, or {SHIPPED!r}: finds what depends on tokens, too",
    )
    check.add_argument(
        "--context-length", type=int, metavar="INT", help="tokens that a sequence may have"
    )
    check.add_argument("--json", action="store_true", help="print one JSON object a finding")
    check.add_argument("--strict", action="store_true", help="fail for warnings, too")
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    """Check files.

    Returns:
        0 where nothing stands in the way, 1 for errors (with --strict for warnings too), 2 where a
        file or a tokenizer cannot be loaded.
    """
    try:
        tokenizer = None if options.tokenizer is None else _tokenizer(options.tokenizer)
        modules = [_load(Path(name)) for name in options.files]
    except LoadError as error:
        print(f"radixlm: {error}", file=sys.stderr)
        return 2
    found = Report.of(
        finding
        for module in modules
        for function in functions_of(module)
        for finding in function.check(tokenizer=tokenizer, context_length=options.context_length)
    )
    for finding in found:
        if options.json:
            print(json.dumps(msgspec.to_builtins(finding), ensure_ascii=False))
        else:
            print(
                f"{_shown(finding.file)}:{finding.line}: {finding.severity} {finding.code}: "
                f"{finding.message}\n    {finding.fix}"
            )
    return 1 if found.errors or (options.strict and found.warnings) else 0


def _shown(file: str) -> str:
    """A path as short as it can be said from here."""
    try:
        near = os.path.relpath(file)
    except ValueError:  # another drive
        return file
    return file if near.startswith("..") else near


def _tokenizer(name: str) -> Any:
    from .runtime.config import ModelConfig
    from .runtime.errors import ModelLoadError
    from .runtime.hub import locate
    from .runtime.tokenizer import load_tokenizer

    config = ModelConfig() if name == SHIPPED else ModelConfig(model_path=name)
    try:
        return load_tokenizer(locate(config))
    except ModelLoadError as error:
        raise LoadError(str(error)) from None


def _load(path: Path) -> ModuleType:
    """Import a file under a name of its own, so that its `__main__` part does not run.

    Its folder is on the path meanwhile, as when Python runs it.

    Raises:
        LoadError: it is no Python file, or importing it fails.
    """
    name = f"radixlm_checked_{path.stem}_{abs(hash(str(path.resolve())))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise LoadError(f"{path} is no Python file that can be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the file does when it is imported
        raise LoadError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def functions_of(module: ModuleType) -> Iterator[Function]:
    """The programs that a module's names lead to, also in classes, lists and dicts; each once."""
    seen: set[int] = set()
    pending: list[Any] = list(vars(module).values())
    while pending:
        found = pending.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, Function):
            if found.func.__module__ == module.__name__:
                yield found
        elif isinstance(found, type) and found.__module__ == module.__name__:
            pending.extend(vars(found).values())
        elif isinstance(found, staticmethod | classmethod):
            pending.append(found.__func__)
        elif isinstance(found, list | tuple | set | frozenset):
            pending.extend(found)
        elif isinstance(found, dict):
            pending.extend(found.values())


if __name__ == "__main__":
    sys.exit(main())
