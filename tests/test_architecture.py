"""Imports point one way, rooms stay small, and the core needs no optional package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mixedfit"

LAYERS = [
    ["errors", "_types", "_lazy", "_threads", "_progress", "rformat"],
    ["_linalg", "kernels", "covariance", "pieces", "frames", "grouping", "optimize", "datasets", "labels"],
    ["idioms", "counts"],
    ["formula"],
    ["modelframe", "plain"],
    ["matrices"],
    ["recipe"],
    ["design"],
    ["spans"],
    ["canonical", "sparse_gram"],
    ["crossprod"],
    ["first", "borders", "responses"],
    ["dense_tail", "sparse_tail"],
    ["small"],
    ["criterion"],
    ["newton"],
    ["verdict"],
    ["estimate"],
    ["fit"],
    ["information", "parameters", "joint", "re_form", "rows", "storage"],
    ["simulate", "prediction_errors"],
    ["truth", "extend"],
    ["inference", "bayes"],
    ["predict", "diagnostics"],
    ["summary", "tidying", "plots", "side_by_side"],
    ["tables", "adapters"],
    ["markup"],
    ["html_report"],
    ["questions", "predictions", "diagnosed", "outputs", "shrunken"],
    ["results"],
    ["differences"],
    ["lmm", "compare", "fit_and_posterior", "studies"],
    ["cli"],
    ["__init__", "__main__"],
]
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
SAME_LAYER = {("grouping", "frames"), ("frames", "errors"), ("covariance", "_linalg")}
CORE = {"numpy", "scipy", "pandas", "formulaic", "numba", "threadpoolctl"}
LIMIT = 400


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def runtime_nodes(tree: ast.Module) -> list[ast.stmt]:
    """Return the module's statements, those under `if TYPE_CHECKING` left out."""
    return [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        )
    ]


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for top in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        for node in ast.walk(top):
            if not isinstance(node, ast.ImportFrom) or node.level == 0:
                continue
            inside = len(path.relative_to(PACKAGE).parts) - 1
            if node.level <= inside:
                continue
            rooms |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return rooms - {"__version__"}


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_room_must_import_from_lower_layers_only(path: Path) -> None:
    room = room_of(path)
    assert room in LAYER, f"{room} has no layer: give it one in this table"
    for other in imported_rooms(path):
        allowed = LAYER[other] < LAYER[room] or (room, other) in SAME_LAYER
        assert allowed, f"{room} (layer {LAYER[room]}) imports {other} (layer {LAYER[other]})"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_file_must_stay_below_the_limit_of_lines(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LIMIT, f"{path.name} has {lines} lines: carve it"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_must_import_only_the_core_at_its_top(path: Path) -> None:
    import sys

    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            assert top in CORE or top in sys.stdlib_module_names, (
                f"{path.name} imports {top} when it is imported"
            )


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_functions_must_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public:
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_must_import_no_private_name_of_another(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level and (node.module or "").split(".")[-1]:
            private = [a.name for a in node.names if a.name.startswith("_") and not a.name.startswith("__")]
            assert not private, f"{path.name} imports {private} of {node.module}"
