"""What the code offers is documented, and what is documented is there: metrics and configuration keys."""

from __future__ import annotations

import ast
import re
import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from dashboard.registry import read_pages
from watchkeeper.config import Config
from watchkeeper.parts import GROUPS

ROOT = Path(__file__).parents[2]
PACKAGES = ("watchkeeper", "collectors", "detectors", "rca", "alerting", "dashboard", "runbooks", "chaos", "agent")
KINDS = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}


def _exported() -> set[str]:
    """The names of every metric that the code defines."""
    found = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=str(name)), *_]) if kind in KINDS:
                    found |= {name} if name.startswith("watchkeeper_") else set()
    return found


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted path of every key that holds a value."""
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *typing.get_args(field.annotation))
        parts = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not parts:
            yield prefix + name
        for part in parts:
            yield from _keys(part, f"{prefix}{name}.")


def test_every_metric_is_documented_and_exists() -> None:
    """docs/operating.md lists exactly what the roles export."""
    documented = set(re.findall(r"^\| `(watchkeeper_\w+)`", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE))
    assert documented == _exported()


def test_every_configuration_key_is_documented_with_its_default() -> None:
    """docs/configuration.md lists exactly the keys of the file."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([a-z_.0-9]+)` \| (.*?) \|", text, re.MULTILINE)
    documented = dict(rows)
    assert set(documented) == set(_keys(Config))
    for key, shown in documented.items():
        if shown not in ("required", "–"):
            assert shown == f"`{_default(key)}`", key


def _default(key: str) -> str:
    """A key's default as the documentation writes it: as one would in the file."""
    value: object = Config
    for part in key.split("."):
        holder = value[0] if isinstance(value, tuple) else value
        model = holder if isinstance(holder, type) else type(holder)
        assert issubclass(model, BaseModel)
        field = model.model_fields[part]
        kinds = [kind for kind in (field.annotation, *typing.get_args(field.annotation)) if isinstance(kind, type)]
        items = [kind for kind in kinds if issubclass(kind, BaseModel)]
        value = items[0] if items else field.default
    if isinstance(value, dict):
        return str(value).replace("'", "")
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_examples_of_the_documentation_are_those_that_are_tested() -> None:
    """docs/extending.md shows the example package word for word: every file of it, and no part that is not in it."""
    package = ROOT / "tests" / "example_plugin"
    files = [package / "pyproject.toml", *sorted((package / "queue_parts").glob("[!_]*.py"))]
    text = (ROOT / "docs" / "extending.md").read_text()
    blocks = re.findall(r"^```(?:python|toml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    missing = [path.name for path in files if path.read_text() not in blocks]
    assert missing == []
    modules = {path.stem for path in files}
    assert {name for block in blocks for name in re.findall(r"from queue_parts\.(\w+)", block)} <= modules
    assert {kind for block in blocks for kind in re.findall(r'"watchkeeper\.(\w+)"\]', block)} == {
        group.removeprefix("watchkeeper.") for group in GROUPS.values()
    }


def test_every_page_of_the_navigation_is_documented_with_its_key() -> None:
    """docs/dashboard.md has a row for each page that Watchkeeper brings, in their order, and for nothing else."""
    table = (ROOT / "docs/dashboard.md").read_text().partition("## Ways")[0]
    rows = re.findall(r"^\| ([^|]+?) \| `g` `(.)` \|", table, re.MULTILINE)
    pages = [(page.title, page.key) for page in read_pages().navigation]
    assert rows == pages, "give each page its row under 'Pages' in docs/dashboard.md, in the order of the navigation"
