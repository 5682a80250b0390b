import ast
import os
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ["constrained", "ir", "lang", "radix_cache", "runtime"]
MODULES = sorted(
    path.relative_to(ROOT)
    for room in [*ROOMS, "src/radixlm"]
    for path in (ROOT / room).rglob("*.py")
    if not path.is_symlink() and "__pycache__" not in path.parts
)


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports absolutely, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_is_linked_into_the_package_by_a_relative_link(room: str) -> None:
    link = ROOT / "src" / "radixlm" / room
    assert os.readlink(link) == f"../../{room}"
    assert link.is_dir()


def test_there_are_no_other_links() -> None:
    links = [path.name for path in (ROOT / "src" / "radixlm").iterdir() if path.is_symlink()]
    assert sorted(links) == ROOMS


def test_the_package_is_typed() -> None:
    assert (ROOT / "src" / "radixlm" / "py.typed").is_file()


def test_the_wheel_takes_along_what_is_not_python() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["packages"]["find"] == {"where": ["src"], "namespaces": False}
    patterns = settings["package-data"]
    assert "py.typed" in patterns["*"]
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if not path.is_file() or path.suffix in (".py", ".pyc"):
                continue
            package = ".".join(["radixlm", *path.parent.relative_to(ROOT).parts])
            takes = [*patterns["*"], *patterns.get(package, [])]
            near = [path.name, f"{path.parent.name}/{path.name}"]
            fits = any(Path(name).match(pattern) for pattern in takes for name in near)
            assert fits, f"no pattern of package-data takes {path.relative_to(ROOT)} along"


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in MODULES}
    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "ir"], ids=str)
def test_programs_as_data_need_the_standard_library_and_msgspec_only(path: Path) -> None:
    assert imported(ROOT / path) <= {*sys.stdlib_module_names, "msgspec"}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if not path.name.startswith("_")], ids=str
)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse((ROOT / path).read_text()))


def test_the_version_is_written_the_same_twice() -> None:
    import radixlm

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert radixlm.__version__ == project["version"]
