"""Packages import in one order, no package has a circle, files stay short, and the core needs no optional package."""

from __future__ import annotations

import ast
import sys
from functools import lru_cache
from pathlib import Path

import pytest
from paths import ROOT

PACKAGE = ROOT / "mixedfit"

ORDER = [
    "core",
    "kernels",
    "tasks",
    "formula",
    "covariance",
    "design",
    "crossproducts",
    "likelihood",
    "estimation",
    "inference",
    "prediction",
    "diagnostics",
    "bayes",
    "plots",
    "reporting",
    "model",
]
"""The packages of `mixedfit`, as in a textbook: each imports only from itself and from those before it."""

TOP = {"__init__", "__main__", "cli", "sklearn"}
"""The only modules beside the packages; they may import from all."""

CORE = {"numpy", "scipy", "pandas", "formulaic", "numba", "threadpoolctl"}
LIMIT = 400
"""Lines of a file without docstrings and blank lines."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {module_of(path): path for path in FILES}


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


@lru_cache(None)
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@lru_cache(None)
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parsed(path)))


@lru_cache(None)
def imports_of(path: Path) -> set[str]:
    """Return the modules that a module imports: at its top, in functions and for annotations alike."""
    own = module_of(path).split(".")
    folder = own if path.name == "__init__.py" else own[:-1]
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        if not isinstance(node, ast.ImportFrom):
            continue
        base = folder[: len(folder) - node.level + 1] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        if source in MODULES:
            inner = {f"{source}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else source for name in inner}
    return found - {module_of(path), "mixedfit"}


def lines_of_code(path: Path) -> int:
    """Return the number of lines without docstrings and blank lines."""
    text = path.read_text(encoding="utf-8")
    strings = {
        line
        for node in nodes_of(path)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return sum(bool(line.strip()) and n not in strings for n, line in enumerate(text.splitlines(), 1))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_must_import_from_packages_before_its_own_only(path: Path) -> None:
    package = package_of(module_of(path))
    assert package in {*ORDER, *TOP}, f"{package} has no place: give it one in ORDER"
    for other in sorted(imports_of(path)):
        if package not in TOP and package_of(other) != package:
            assert package_of(other) in ORDER[: ORDER.index(package)], f"{package} imports {other}"


def test_modules_must_import_without_circles() -> None:
    imports = {module: imports_of(path) for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"circle: {' -> '.join([*trail[trail.index(module) :], module])}"
        if module not in done:
            for other in sorted(imports[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(imports):
        visit(module, ())


def test_packages_must_not_bear_names_of_public_functions() -> None:
    import mixedfit

    functions = {name for name in mixedfit.__all__ if callable(getattr(mixedfit, name))}
    assert not functions & {*ORDER, "cli"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_file_must_stay_below_the_limit_of_lines(path: Path) -> None:
    lines = lines_of_code(path)
    assert lines <= LIMIT, f"{path.name} has {lines} lines without docstrings: carve it"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_must_import_only_the_core_at_its_top(path: Path) -> None:
    for node in parsed(path).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            assert top in {*CORE, "mixedfit"} or top in sys.stdlib_module_names, (
                f"{path.name} imports {top} when it is imported"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_functions_must_have_docstrings(path: Path) -> None:
    for node in parsed(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_must_import_no_private_name_of_another(path: Path) -> None:
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("mixedfit")):
            private = [a.name for a in node.names if a.name.startswith("_") and not a.name.startswith("__")]
            private = [name for name in private if f"{node.module}.{name}" not in MODULES and node.module]
            assert not private, f"{path.name} imports {private} of {node.module}"
