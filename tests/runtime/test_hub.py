from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from radixlm.runtime.config import ModelConfig
from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.hub import locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with one repository, `org/model`, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--org--model"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.gguf").write_text("GGUF")
    (repository / "refs").mkdir()
    for name in ("main", "v1"):
        (repository / "refs" / name).write_text(COMMIT)
    return snapshot


@pytest.mark.parametrize("revision", [None, "v1", COMMIT])
def test_a_hub_id_is_found_in_the_cache(revision: str | None, hub_cache: Path) -> None:
    located = locate(ModelConfig(model_path="org/model", revision=revision))
    assert Path(located.model_path) == hub_cache
    assert located.served_model_name == "org/model", "clients see what was asked for"


def test_one_file_of_a_repository_may_be_named(hub_cache: Path) -> None:
    located = locate(ModelConfig(model_path="org/model/model.gguf"))
    assert Path(located.model_path) == hub_cache / "model.gguf"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_path": "org/other"}, "no folder 'org/other' .* the hub's 'org/other' cannot be"),
        (
            {"model_path": "org/model", "revision": "v2"},
            "the hub's 'org/model' at revision 'v2' cannot be fetched",
        ),
        ({"model_path": "/no/such"}, "no folder '/no/such' on this machine; give the folder"),
        ({"model_path": "./no/such"}, "no folder './no/such'"),
        ({"model_path": "a/b/c"}, "no folder 'a/b/c'"),
    ],
)
def test_what_is_nowhere_is_said(settings: dict[str, Any], message: str, hub_cache: Path) -> None:
    with pytest.raises(ModelLoadError, match=message):
        locate(ModelConfig(**settings))


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    config = ModelConfig(model_path=str(tmp_path), served_model_name="name")
    assert locate(config) == config


def test_a_gguf_file_may_be_named_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    config = ModelConfig(model_path=str(tmp_path))
    assert locate(config).model_path == str(tmp_path / "a.gguf")
    (tmp_path / "b.gguf").touch()
    with pytest.raises(ModelLoadError, match=r"holds 2 GGUF files; name one: a\.gguf, b\.gguf"):
        locate(config)
    (tmp_path / "config.json").touch()
    assert locate(config) == config


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(ModelLoadError, match="is a file; give the folder that it is in"):
        locate(ModelConfig(model_path=str(path)))
