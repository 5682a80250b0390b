"""Formats: what they take, as a mask and as a check."""

from __future__ import annotations

import pytest

from radixlm.constrained.check import Check
from radixlm.constrained.formats import FORMATS
from radixlm.constrained.spec import GrammarSpec

from .conftest import Accepts

VALID = {
    "date": ["2024-02-29", "2000-02-29", "1999-12-31"],
    "time": ["23:59:59Z", "00:00:00.123456+05:30"],
    "date-time": ["2026-01-31T10:00:00Z"],
    "duration": ["P1D", "P1Y2M3DT4H5M6S", "PT36H", "P4W"],
    "email": ["ada.lovelace+x@example.co.uk"],
    "hostname": ["a", "a-b.example.com", "a" * 63],
    "ipv4": ["0.0.0.0", "255.249.10.1"],
    "ipv6": [
        "::",
        "::1",
        "1::",
        "2001:db8::8a2e:370:7334",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:1.2.3.4",
    ],
    "uri": ["https://example.com:80/a/b;c?q=1#f", "ftp://a"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
    "uri-reference": ["a/b?c", "", "//h/p", "#f"],
    "iri": ["http://\u00e9.fr/\u6771"],
    "iri-reference": ["\u6771/b"],
    "uri-template": ["http://a/{x}{?y,z*}"],
    "json-pointer": ["", "/a/~0~1", "/"],
    "relative-json-pointer": ["0", "1/a", "2#"],
}
INVALID = {
    "date": ["2023-02-29", "1900-02-29", "2024-04-31", "2024-1-01", "2024-13-01"],
    "time": ["24:00:00Z", "10:00:00", "10:60:00Z"],
    "date-time": ["2026-01-31 10:00:00Z"],
    "duration": ["P", "PT", "P1M1Y", "1D", "P1W1D"],
    "email": ["a", "a@", "@b.c", ".a@b.c", "a..b@c.d"],
    "hostname": ["", "-a", "a-", "a..b", "a.", "xn--abc", "a" * 64],
    "ipv4": ["256.1.1.1", "1.1.1", "01.1.1.1"],
    "ipv6": ["1:2:3:4:5:6:7", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8"],
    "uri": ["//a", "a", "a b://c", "http://a/%zz"],
    "uuid": ["123e4567e89b12d3a456426614174000"],
    "uri-reference": ["a b", ":", "%zz"],
    "iri": ["\u6771", "http://a b"],
    "iri-reference": ["a b"],
    "uri-template": ["{", "{a b}"],
    "json-pointer": ["a", "/~", "/~2"],
    "relative-json-pointer": ["", "/a", "01", "0##"],
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_takes_its_core_and_nothing_else(accepts: Accepts, name: str) -> None:
    spec = GrammarSpec.json_schema({"type": "string", "format": name})
    assert [text for text in VALID[name] if not accepts(spec, f'"{text}"')] == []
    check = Check({"format": name})
    assert [text for text in VALID[name] if check.failures_of(text)] == []
    assert [text for text in INVALID[name] if not check.failures_of(text)] == []
    assert [text for text in INVALID[name] if accepts(spec, f'"{text}"')] == []
