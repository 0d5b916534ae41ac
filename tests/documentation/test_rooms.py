"""Each room imports only from rooms that stand before it in the table of CONTRIBUTING.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = "nnunetv2_mscs"
TABLE = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n| room |")[1].split("\n\n")[0]
ROOMS = [name for row in TABLE.splitlines()[2:] for name in re.findall(r"`(\w+)(?:/|\.py)`", row.split("|")[1])]


def folder(room: str) -> Path:
    return PROJECT / room if room == "dataset_conversion" else PROJECT / PACKAGE / room


def modules(room: str) -> list[Path]:
    return [*folder(room).rglob("*.py"), *folder(room).parent.glob(f"{room}.py")]


def imported(module: Path) -> Iterator[str]:
    """The rooms that a module imports from."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        for name in [f"{node.module}.{name}" for name in names] if isinstance(node, ast.ImportFrom) else names:
            if name.startswith(f"{PACKAGE}."):
                yield name.split(".")[1]


def test_the_table_has_every_room():
    there = {
        path.stem for path in (PROJECT / PACKAGE).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__", "__main__"} | {"dataset_conversion"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_those_before_it(room):
    allowed = {*ROOMS[: ROOMS.index(room) + 1]}
    for module in modules(room):
        assert set(imported(module)) & set(ROOMS) <= allowed, module
