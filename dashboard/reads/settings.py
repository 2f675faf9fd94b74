"""The configuration as the web role runs it: each value, and where it comes from. Nothing secret leaves this module."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from watchkeeper.config import Config
from watchkeeper.errors import ConfigError
from watchkeeper.yaml_file import Document, Location, read_document

Origin = Literal["file", "environment", "default"]
HIDDEN: Final = "set, not shown"
LONGEST: Final = 200
MOST: Final = 1000  # keys
# Values under these hold keys, addresses of people, and URLs that are credentials themselves.
_OPEN_SETTINGS: Final = ("channels", "sources", "targets")
_SECRET: Final = re.compile(
    r"(sha256|secret|password|passwd|token|credential|authorization|cookie|api_?key|private)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key with its value as text, and whence: `place` is `file:line`, or the variable's name."""

    key: str
    value: str
    origin: Origin
    place: str = ""


def settings(config: Config, path: Path | None) -> Sequence[Setting]:
    """Every key, in the order of the configuration's sections. Without a file, or with one that changed, no lines.

    A key that ends in `_env` names a variable: whether it is set is shown, never what it holds.
    """
    document = _document(path)
    found = []
    for location, value in _leaves(config.model_dump(mode="json"), ()):
        found.append(_setting(location, value, document))
        if len(found) == MOST:
            break
    return found


def _document(path: Path | None) -> Document | None:
    try:
        return read_document(path) if path else None
    except ConfigError:
        return None  # it was right when the role started; `watchkeeper validate` names what is wrong now


def _setting(location: Location, value: Any, document: Document | None) -> Setting:
    key = ".".join(map(str, location))
    in_file = document is not None and _stands(document.data, location)
    place = f"{document.path.name}:{document.line(location)}" if document is not None and in_file else ""
    if str(location[-1]).endswith("_env") and value:
        is_set = bool(os.environ.get(str(value)))
        words = f"{value} is set" if is_set else f"{value} is not set"
        origin: Origin = "environment" if is_set else "file" if in_file else "default"
        return Setting(key=key, value=words, origin=origin, place=place)
    return Setting(key=key, value=_shown(location, value), origin="file" if in_file else "default", place=place)


def _leaves(tree: Any, location: Location) -> Iterator[tuple[Location, Any]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, (*location, str(key)))
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        for number, value in enumerate(tree):
            yield from _leaves(value, (*location, number))
    else:
        yield location, tree


def _stands(tree: Any, location: Location) -> bool:
    """Whether a key is written in the file; a list that one writes as a single value counts as well."""
    for part in location:
        is_key = isinstance(tree, dict) and part in tree
        is_item = isinstance(tree, list) and isinstance(part, int) and part < len(tree)
        if not (is_key or is_item):
            return False
        tree = tree[part]
    return True


def _shown(location: Location, value: Any) -> str:
    name = str(location[-1])
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if any(_SECRET.search(str(part)) for part in location[1:]) and not name.endswith(("_env", "_file")):
        return HIDDEN if name not in ("name", "scopes", "person") else _text(value)
    if "addresses" in location or (location[0] in _OPEN_SETTINGS and name not in ("kind", "service", "services")):
        return _host_only(value)
    return _text(value)


def _host_only(value: Any) -> str:
    """Of a URL its host; nothing of another text: settings of other packages may hold anything."""
    host = urlsplit(value).hostname if isinstance(value, str) and "://" in value else None
    return f"{urlsplit(str(value)).scheme}://{host}/…" if host else HIDDEN


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"://[^/@\s]*@", "://…@", text)[:LONGEST]
