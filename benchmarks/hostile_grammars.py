"""Grammars that strangers send to stop a server: too large, too deep, ambiguous beyond count.

Every one is a request's sampling parameters under a name, as `POST /generate` takes them.
"""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 200_000  # of the large ones: they fit into what a source may have


def grammars() -> dict[str, dict[str, Any]]:
    """Return sampling parameters by name."""
    return {**_regexes(), **_notations(), **_schemas(), **_unicode()}


def _regexes() -> dict[str, dict[str, Any]]:
    return {
        "regex: nested stars": {"regex": "(((a*)*)*)*b"},
        "regex: 2^n states": {"regex": "(a|b)*a(a|b){30}"},
        "regex: nested counts": {"regex": "(a{1,1000}){1,1000}"},
        "regex: counts of counts": {"regex": "((((a{1,99}){1,99}){1,99}){1,99}){1,99}"},
        "regex: any text, counted": {"regex": "(.{1,400}x){1,400}"},
        "regex: overlapping words": {"regex": r"(\w+\s?){1,500}(\w*\d\w*){1,100}"},
        "regex: 200 KB of options": {
            "regex": "|".join(f"w{number:x}[a-z]*" for number in range(18_000))
        },
        "regex: 5,000 brackets": {"regex": "(" * 5_000 + "a" + ")" * 5_000},
        "regex: optional chain": {"regex": "a?" * 3_000 + "a" * 3_000},
    }


def _notations() -> dict[str, dict[str, Any]]:
    doubled = "\n".join(f"r{n} ::= r{n + 1} r{n + 1}" for n in range(40))
    doubled_lark = "\n".join(f"r{n}: r{n + 1} r{n + 1}" for n in range(40))
    many = "\n".join(f'r{n} ::= "{n}" | r{n + 1} "x"' for n in range(6_000))
    return {
        "ebnf: left recursion": {"ebnf": 'root ::= root "a" | "b"'},
        "ebnf: hidden left recursion": {"ebnf": 'root ::= e root "a" | "b"\ne ::= "" | e e'},
        "ebnf: ambiguous": {"ebnf": 'root ::= root root root | root root | "a" | ""'},
        "ebnf: no end": {"ebnf": 'root ::= "a" root'},
        "ebnf: doubled 2^40 times": {"ebnf": f'root ::= r0\n{doubled}\nr40 ::= "a"'},
        "ebnf: counts of counts": {
            "ebnf": "root ::= (([a-z]{1,300} | [0-9]{1,300}){1,300}){1,300}"
        },
        "ebnf: 6,000 rules": {"ebnf": f'root ::= r0\n{many}\nr6000 ::= "a"'},
        "ebnf: 200 KB literal": {"ebnf": 'root ::= "' + "ab" * (MAX_BYTES // 2) + '"'},
        "ebnf: 10,000 brackets": {"ebnf": "root ::= " + "(" * 10_000 + '"a"' + ")" * 10_000},
        "gbnf: left recursion": {"gbnf": 'root ::= root "a" | root root | "b"'},
        "gbnf: counted text": {"gbnf": "root ::= ([a-z]{1,500} [ ]?){1,500}"},
        "lark: left recursion": {"lark": 'start: start "a" | start start | "b"'},
        "lark: empty recursion": {"lark": 'start: e start "a" | "b"\ne: "" | e e'},
        "lark: no end": {"lark": 'start: "a" start'},
        "lark: ambiguous": {"lark": "start: x\nx: x x x | x x | /a/ | /a+/ | /[ab]*/"},
        "lark: doubled 2^40 times": {"lark": f'start: r0\n{doubled_lark}\nr40: "a"'},
        "lark: terminals in conflict": {
            "lark": "start: (A|B|C)+\nA: /(a|b)*c{1,200}/\nB: /[abc]{1,300}d?/\nC: /.{1,900}/"
        },
    }


def _schemas() -> dict[str, dict[str, Any]]:
    number = {"type": "number"}
    deep: Any = {"type": "string"}
    for _ in range(45):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"]}
    doubled: Any = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(3_000)}
    wide = {f"property_{n}": {"type": "string", "maxLength": 99} for n in range(2_500)}
    product = [
        {"oneOf": [{"required": [f"k{row}{column}"]} for column in range(8)]} for row in range(12)
    ]
    merged = [
        {"anyOf": [{"properties": {f"k{row}": {"const": column}}} for column in range(6)]}
        for row in range(14)
    ]
    ranges = [{"type": "integer", "minimum": n, "maximum": n + 500} for n in range(400)]
    words = {
        "type": "object",
        "patternProperties": {
            f"^[a-z]*{letter}[a-z]*$": {"minLength": index} for index, letter in enumerate("abcdef")
        },
        "additionalProperties": False,
    }
    schemas: dict[str, Any] = {
        "$ref cycle": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        "recursion without an end": {
            "type": "object",
            "properties": {"a": {"$ref": "#"}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "3,000 references": {"$ref": "#/$defs/d0", "$defs": {**chain, "d3000": number}},
        "45 levels": deep,
        "doubled 2^40 times": {"$ref": "#/$defs/d0", "$defs": {**doubled, "d40": number}},
        "2,500 properties": {"type": "object", "properties": wide},
        "10,000 values": {"enum": [f"value {n} of many" for n in range(10_000)]},
        "maxLength 10^9": {"type": "string", "maxLength": 10**9},
        "maxItems 10^9": {"type": "array", "items": number, "minItems": 10**6, "maxItems": 10**9},
        "counted words": {
            "type": "string",
            "pattern": r"^(?:\S+\s+){0,400}\S+$",
            "maxLength": 9_000,
        },
        "nested arrays, counted": {
            "type": "array",
            "maxItems": 900,
            "items": {
                "type": "array",
                "maxItems": 900,
                "items": {"type": "string", "pattern": "^([a-z]{1,90},){1,90}$"},
            },
        },
        "overlapping patterns": words,
        "product of oneOf": {"type": "object", "allOf": product},
        "product of anyOf": {"type": "object", "allOf": merged},
        "400 ranges": {"oneOf": ranges},
        "not of not": {"not": {"anyOf": [{"not": {"properties": {"a": each}}} for each in ranges]}},
        "tiny multipleOf": {"type": "number", "multipleOf": 1e-300, "minimum": 0, "maximum": 1e300},
        "huge bounds": {"type": "integer", "minimum": -(10**4_000), "maximum": 10**4_000},
        "unique and contained": {
            "type": "array",
            "uniqueItems": True,
            "maxItems": 40,
            "items": {"enum": list(range(40))},
            "contains": {"const": 39},
        },
    }
    named = {f"schema: {name}": {"json_schema": json.dumps(one)} for name, one in schemas.items()}
    levels = '{"items":' * 10_000 + "true" + "}" * 10_000
    return {**named, "schema: 10,000 levels": {"json_schema": levels}}


def _unicode() -> dict[str, dict[str, Any]]:
    marks = "".join(f"a{chr(0x300 + n)}" for n in range(100))
    return {
        "unicode: astral range": {"regex": "[\U00010000-\U0010ffff]{1,300}"},
        "unicode: all but one": {"regex": "([^\U0001f600]{1,200}\U0001f600){1,200}"},
        "unicode: combining": {"regex": f"({marks}|[\\u0300-\\u036f]+){{1,200}}"},
        "unicode: lone surrogate": {"json_schema": '{"const": "\\ud83d"}'},
        "unicode: surrogate range": {"regex": r"[\ud800-\udfff]+"},
        "unicode: 4,000 scripts": {
            "json_schema": json.dumps({"enum": [chr(0x4E00 + n) * 9 for n in range(4_000)]})
        },
    }
