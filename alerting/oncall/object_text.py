"""One object of the rota as YAML that a person edits: read by the rules of the file, each mistake at its line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from alerting.oncall.ownership import ONE, Kind, objects
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import ConfigError, KeysError
from watchkeeper.yaml_file import Document, Location, documents_in

LONGEST: Final = 20_000  # characters


def as_text(value: Any) -> str:
    """An object's value as YAML, without its id, which is its name."""
    tree = {key: each for key, each in value.items() if key != "id"} if isinstance(value, dict) else value
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def read_text(kind: Kind, text: str) -> Document:
    """What somebody wrote, with its lines.

    Raises:
        ConfigError: it is too long, not YAML, or not one object; names the line.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"The text has {len(text):,} characters; at most {LONGEST:,} are read. Shorten it.")
    try:
        documents = documents_in(Path(ONE[kind]), text)
    except ConfigError as error:
        raise ConfigError("\n".join(_short(kind, line) for line in error.message.splitlines())) from error
    wanted, words = (list, "a list of services") if kind == "teams" else (dict, "keys and values")
    if len(documents) != 1 or not isinstance(documents[0].data, wanted):
        raise ConfigError(f"line 1: a {ONE[kind]} is one YAML document with {words}")
    return documents[0]


def at_lines(document: Document, oncall: OnCallConfig, kind: Kind, name: str, error: KeysError) -> ConfigError:
    """The mistakes of an object that was not accepted, each at its line; those elsewhere with their whole key."""
    lines = []
    for key, what in error.mistakes:
        inside = within(oncall, kind, name, key)
        if inside is None:
            lines.append((0, f"{dotted(key)}: {what}"))
        else:
            line = document.line(inside)
            lines.append((line, f"line {line}: {dotted(inside) or ONE[kind]}: {what}"))
    return ConfigError("\n".join(text for _, text in sorted(lines)))


def within(oncall: OnCallConfig, kind: Kind, name: str, key: Location) -> Location | None:
    """The key within one object of a key of the file, where the object is put into `oncall`; None for another's."""
    known = list(objects(oncall, kind))
    place: int | str = name
    if kind != "teams":
        is_new = name not in known
        place = known.index(name) if not is_new else 0 if kind == "policies" else len(known)
    return tuple(key[3:]) if key[:3] == ("oncall", kind, place) else None


def dotted(key: Sequence[int | str]) -> str:
    """`layers.1.people`: items of lists are counted from 1, as people do.

    >>> dotted(("layers", 0, "people"))
    'layers.1.people'
    """
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in key)


def _short(kind: Kind, line: str) -> str:
    """`line 3: …` for `person:3: …`."""
    return f"line {line.removeprefix(f'{ONE[kind]}:')}" if line.startswith(f"{ONE[kind]}:") else line
