"""How a checkpoint pools its hidden states to an embedding, if it says so."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import ModelLoadError
from ..messages import Pooling
from .settings import read_json

KINDS: dict[str, Pooling] = {
    "pooling_mode_lasttoken": "last",
    "pooling_mode_mean_tokens": "mean",
}


def read_pooling(folder: Path) -> tuple[Pooling, bool]:
    """Read sentence-transformers' `modules.json`; without it, the last state at length 1.

    Returns:
        The kind, and whether embeddings are scaled to length 1.

    Raises:
        ModelLoadError: the checkpoint pools in a way that is not supported.
    """
    path = folder / "modules.json"
    if not path.exists():
        return "last", True
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        kinds = {str(module["type"]).rpartition(".")[2]: module["path"] for module in modules}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelLoadError(f"cannot read {path}: {error!r}") from error
    kind: Pooling = "last"
    if "Pooling" in kinds:
        config = folder / kinds["Pooling"] / "config.json"
        modes = [
            name
            for name, is_on in read_json(config).items()
            if name.startswith("pooling_mode_") and is_on
        ]
        if len(modes) != 1 or modes[0] not in KINDS:
            raise ModelLoadError(
                f"{config} pools by {', '.join(modes) or 'nothing'}; supported are one of "
                f"{', '.join(KINDS)}"
            )
        kind = KINDS[modes[0]]
    return kind, "Normalize" in kinds
