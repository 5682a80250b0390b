"""The command `radixlm schema`: what a mask enforces of a JSON Schema, keyword by keyword."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec

from ..constrained.contract import Contract, Finding, Status
from ..constrained.errors import GrammarError
from ..constrained.layout import COMPACT, Layout, PropertyOrder, Whitespace
from ..constrained.normal import normalise
from ..constrained.spec import GrammarSpec, Mode, parse_json

SHIPPED = "shipped"  # names the tokenizer of the model that ships


class Report(msgspec.Struct, frozen=True):
    """What becomes of a schema.

    Attributes:
        taken: whether requests with it run.
        refusal: why they do not, where `taken` is false.
    """

    taken: bool
    contract: Contract
    refusal: GrammarError | None


def add_schema(commands: Any) -> None:
    """Add `schema` to the subcommands of a parser; the options' `run` carries it out."""
    schema = commands.add_parser("schema", help="show what is enforced of a JSON Schema")
    schema.add_argument("file", metavar="FILE", help="a JSON Schema; - for standard input")
    schema.add_argument("--mode", choices=get_args(Mode), default="strict")
    schema.add_argument(
        "--tokenizer",
        metavar="DIR",
        help=f"folder of a checkpoint, or {SHIPPED!r}: compile for its vocabulary",
    )
    schema.add_argument("--property-order", choices=get_args(PropertyOrder), default="declared")
    schema.add_argument("--whitespace", choices=get_args(Whitespace), default="compact")
    schema.add_argument("--json", action="store_true", help="print one JSON object")
    schema.set_defaults(run=_schema)


def report_of(source: str, mode: Mode, vocabulary: Any, layout: Layout = COMPACT) -> Report:
    """Compile a schema and report on it; without a vocabulary, for one of single bytes."""
    from ..constrained.compile import compile
    from ..constrained.vocab import Vocabulary

    if vocabulary is None:
        vocabulary = Vocabulary((*(bytes([byte]) for byte in range(256)), b""), frozenset({256}))
    try:
        spec = GrammarSpec.json_schema(
            source,
            mode=mode,
            property_order=layout.property_order,
            whitespace=layout.whitespace,
        )
        compiled = compile(spec, vocabulary)
        return Report(True, compiled.contract, None)
    except GrammarError as error:
        return Report(False, _contract(source, error), error)


def _contract(source: str, refusal: GrammarError) -> Contract:
    """The contract of a schema that is not taken, with what it is refused for."""
    try:
        found = list(normalise(parse_json(source, kind="json_schema")).contract)
    except GrammarError:
        found = []
    if refusal.pointer is not None and refusal.pointer not in {f.pointer for f in found}:
        found.append(Finding(refusal.pointer, Status.REFUSED, refusal.reason, refusal.hint))
    return Contract.joined(found)


def _schema(options: argparse.Namespace) -> int:
    """Print a report.

    Returns:
        0 where the schema is taken, 1 where it is refused, 2 where the file or the tokenizer
        cannot be read.
    """
    try:
        whole = sys.stdin.read() if options.file == "-" else Path(options.file).read_text("utf-8")
        vocabulary = None if options.tokenizer is None else _tokenizer(options.tokenizer)
    except (OSError, ValueError) as error:
        print(f"radixlm: {error}", file=sys.stderr)
        return 2
    layout = Layout(options.whitespace, options.property_order)
    report = report_of(whole, options.mode, vocabulary, layout)
    if options.json:
        print(json.dumps(_plain(report, options.mode), ensure_ascii=False))
        return 0 if report.taken else 1
    lines = [report.contract.report()] if report.contract.findings else []
    counts = ", ".join(f"{count} {status}" for status, count in report.contract.counts().items())
    lines.append(f"{'taken' if report.taken else 'refused'} in mode {options.mode}: {counts}")
    if report.refusal is not None:
        lines.append(str(report.refusal))
        loose = options.mode == "strict" and report_of(whole, "best_effort", vocabulary, layout)
        if loose and loose.taken:
            lines.append("mode best_effort takes it, and checks closed documents for the rest")
    print("\n".join(lines))
    return 0 if report.taken else 1


def _plain(report: Report, mode: Mode) -> dict[str, Any]:
    error = report.refusal
    fields = ("kind", "reason", "pointer", "hint")
    return {
        "mode": mode,
        "taken": report.taken,
        **report.contract.counts(),
        "findings": msgspec.to_builtins(report.contract.findings),
        "error": None if error is None else {name: getattr(error, name) for name in fields},
    }


def _tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    from .config import SHIPPED_MODEL

    folder = str(SHIPPED_MODEL) if name == SHIPPED else name
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
