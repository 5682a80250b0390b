r"""The formats of JSON Schema as patterns, anchored at both ends.

A pattern is what the format's RFC says, or less where noted, never more. Patterns hold nothing that
Python, ECMA-262 and Rust read differently: no `\d`, no `\w`.

Less than the RFC: leap seconds are those of UTC (`23:59:60Z`); a host has no `xn--` labels, whose
Punycode no automaton checks; an e-mail's comments and folded white space are left out.
"""

from __future__ import annotations

__all__ = ["FORMATS", "MAX_LENGTHS", "NOT_REGULAR", "UNKNOWABLE"]

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_H16 = "[0-9a-fA-F]{1,4}"


def _ipv6() -> str:
    """Return every place that `::` can have, with the last 32 bits in either form."""
    last = f"(?:{_H16}:{_H16}|{_IPV4})"
    options = [f"(?:{_H16}:){{6}}{last}", f"::(?:{_H16}:){{5}}{last}"]
    for before in range(6):
        head = f"(?:(?:{_H16}:){{0,{before}}}{_H16})?" if before else f"(?:{_H16})?"
        after = 4 - before
        if after >= 0:
            options.append(f"{head}::(?:{_H16}:){{{after}}}{last}")
    options.append(f"(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}")
    options.append(f"(?:(?:{_H16}:){{0,6}}{_H16})?::")
    return "(?:" + "|".join(options) + ")"


_IPV6 = _ipv6()

_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000|0000)"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[048]|[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP_YEAR}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_FRACTION = r"(?:\.[0-9]+)?"
_TIME = f"(?:{_CLOCK}:[0-5][0-9]{_FRACTION}(?:[Zz]|[+-]{_CLOCK})|23:59:60{_FRACTION}[Zz])"

_CLOCKED = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DATED = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"

# A label of a host: letters, digits and inner hyphens, no two hyphens at places 3 and 4.
_LDH = "[A-Za-z0-9-]"
_END = "[A-Za-z0-9]"
_LABEL = (
    f"{_END}(?:{_LDH}?{_END}|{_LDH}(?:{_END}{_LDH}|-{_END}){_LDH}{{0,58}}{_END}"
    f"|{_LDH}{_END}{_END}|{_LDH}-{_END})?"
)
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_EMAIL = rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?:{_HOST}|\[(?:{_IPV4}|IPv6:{_IPV6})\])"

_UCS = r"\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef\U00010000-\U000e0fff"
_PRIVATE = r"\ue000-\uf8ff\U000f0000-\U0010fffd"


def _reference(extra: str, private: str, *, absolute: bool) -> str:
    """Return RFC 3986's URI, or with `extra` characters RFC 3987's IRI."""
    percent = "%[0-9A-Fa-f]{2}"
    plain = f"A-Za-z0-9._~!$&'()*+,;=-{extra}".replace("-" + extra, extra + "-")
    char = f"(?:[{plain[:-1]}:@-]|{percent})"
    first = f"(?:[{plain[:-1]}@-]|{percent})"  # of a relative path: no colon
    user = f"(?:(?:[{plain[:-1]}:-]|{percent})*@)?"
    literal = rf"\[(?:{_IPV6}|[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]"
    authority = f"{user}(?:{literal}|(?:[{plain[:-1]}-]|{percent})*)(?::[0-9]*)?"
    rooted = f"//{authority}(?:/{char}*)*|/(?:{char}+(?:/{char}*)*)?"
    query = rf"(?:\?(?:{char}|[/?{private}])*)?(?:#(?:{char}|[/?])*)?"
    scheme = "[A-Za-z][A-Za-z0-9+.-]*:"
    whole = f"{scheme}(?:{rooted}|{char}+(?:/{char}*)*)?{query}"
    if absolute:
        return whole
    return f"(?:{whole}|(?:{rooted}|{first}+(?:/{char}*)*)?{query})"


_POINTER = "(?:/(?:[^~/]|~[01])*)*"
_VARIABLE = (
    r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})(?:\.?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*"
    r"(?:\*|:[1-9][0-9]{0,3})?"
)
_TEMPLATE = (
    rf"(?:[!#$&-;=?-\[\]_a-z~{_UCS}{_PRIVATE}]|%[0-9A-Fa-f]{{2}}"
    rf"|\{{[+#./;?&=,!@|]?{_VARIABLE}(?:,{_VARIABLE})*\}})*"
)

_BARE = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}[Tt]{_TIME}",
    "duration": f"P(?:[0-9]+W|{_DATED}(?:{_CLOCKED})?|{_CLOCKED})",
    "email": _EMAIL,
    "hostname": _HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _reference("", "", absolute=True),
    "uri-reference": _reference("", "", absolute=False),
    "iri": _reference(_UCS, _PRIVATE, absolute=True),
    "iri-reference": _reference(_UCS, _PRIVATE, absolute=False),
    "uri-template": _TEMPLATE,
    "uuid": "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
}
FORMATS = {name: f"^(?:{pattern})$" for name, pattern in _BARE.items()}

MAX_LENGTHS = {"hostname": 253}  # characters; RFC 1034

NOT_REGULAR = frozenset({"regex"})  # left to the check of the closed document
UNKNOWABLE = frozenset({"idn-hostname", "idn-email"})  # their tables of Unicode are not here
