"""The sampling defaults of a run, from what `run` was told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.nodes import Sampling
from ..ir.stop_patterns import check_stop_patterns
from .expr import LOGPROBS, logprobs_of


def sampling_of(settings: Mapping[str, Any]) -> Sampling:
    """The sampling defaults among the settings of a run; one stop is a list of one.

    Raises:
        re.error: `stop_regex` is malformed.
        ValueError: it cannot end a text.
    """
    fields = {name: settings[name] for name in Sampling.__struct_fields__ if name in settings}
    for name in ("stop", "stop_token_ids"):
        said = fields[name]
        fields[name] = (said,) if isinstance(said, str) else tuple(said or ())
    fields["stop_regex"] = check_stop_patterns(fields["stop_regex"] or ())
    fields["report"] = logprobs_of(*(settings[name] for name in LOGPROBS))
    return Sampling(**fields)
