"""What the packages import is declared, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import files, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("watchkeeper", "collectors", "detectors", "rca", "alerting", "dashboard", "runbooks", "chaos", "agent")
# Needed at run time though no module imports them by name.
LOADED_BY_OTHERS = {
    "python-multipart": "Starlette's Request.form",
    "pandas": "parts of other packages, which docs/extending.md lets count on it",
    "scikit-learn": "the same",
    "statsmodels": "the same",
}
# Extras for an installation: imported late, with an error that names the extra.
OPTIONAL = ("kubernetes", "apprise")
# What a conformance suite is made of; whoever runs one has it.
BROUGHT_ALONG = {"pytest"}


@cache
def _declared() -> set[str]:
    """The distributions that pyproject.toml names for an installation, with its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [
        *project["dependencies"],
        *(each for extra in OPTIONAL for each in project["optional-dependencies"][extra]),
    ]
    return {_plain(re.split(r"[\[<>=; ]", requirement)[0]) for requirement in requirements}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _imported() -> dict[str, str]:
    """Every module of other distributions that the packages import, each with a place where they do."""
    modules: dict[str, str] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            for module in _modules(node):
                if module.partition(".")[0] not in (*PACKAGES, *sys.stdlib_module_names, *BROUGHT_ALONG, "bench"):
                    modules.setdefault(module, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    return modules


def _modules(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (name.name for name in names)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            yield from (f"{module}.{name.name}" for name in names)


@pytest.fixture(scope="module")
def distributions() -> dict[str, str]:
    """Which distribution each imported module comes from."""
    tops = packages_distributions()
    owners: dict[str, str] = {}
    for module in _imported():
        candidates = {_plain(name) for name in tops.get(module.partition(".")[0], [])}
        if len(candidates) > 1:  # a namespace that several share: the one that holds the longest part of the path
            candidates = {max(candidates, key=lambda name: _depth(name, module))}
        owners[module] = next(iter(candidates), "")
    return owners


@cache
def _files_of(distribution: str) -> set[str]:
    return {str(path) for path in files(distribution) or []}


def _depth(distribution: str, module: str) -> int:
    """How many parts of a module's path a distribution has files of."""
    parts = module.split(".")
    for depth in range(len(parts), 1, -1):
        stem = "/".join(parts[:depth])
        if _files_of(distribution) & {f"{stem}.py", f"{stem}/__init__.py"}:
            return depth
    return 0


def test_every_import_is_declared(distributions: dict[str, str]) -> None:
    """A fresh installation has what the code imports because it asks for it, not because something else does."""
    places = _imported()
    absent = {
        f"{places[module]} imports {module}: {owner or 'nothing installed has it'}"
        for module, owner in distributions.items()
        if owner not in _declared()
    }
    # Of another Python version than this one.
    assert not {each for each in absent if "imports compression.zstd" not in each}


def test_nothing_is_declared_for_nothing(distributions: dict[str, str]) -> None:
    """A dependency that no module imports goes, unless something else loads it."""
    assert _declared() - set(distributions.values()) == set(LOADED_BY_OTHERS)
