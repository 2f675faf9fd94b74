"""Playbooks: Markdown files for humans beside the runbooks, shown with an incident that they match, as they are.

A file says what it is for in its front matter, or by a heading that names a mechanism or a service:

    ---
    title: Disk full
    mechanisms: [errors]
    services: ["cart*"]
    ---

Both must match where both are given. A file without front matter matches by its headings alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from runbooks.document import validated
from watchkeeper.errors import ConfigError, RunbookError
from watchkeeper.text import one_line
from watchkeeper.vocabulary import MECHANISMS, Diagnosis, Mechanism
from watchkeeper.yaml_file import Document, documents_in

LARGEST_BYTES: Final = 256 << 10
MOST_SHOWN: Final = 3
_FRONT: Final = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?\n", re.DOTALL | re.MULTILINE)
_HEADING: Final = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Front(BaseModel):
    """Keys of the front matter; others belong to other tools."""

    model_config = ConfigDict(extra="ignore")

    title: str = ""
    mechanisms: tuple[Mechanism, ...] = ()
    services: tuple[Annotated[str, Field(min_length=1)], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """One file. `words` are those of its headings, in lower case; `text` is its Markdown without the front matter."""

    path: Path
    title: str
    text: str
    mechanisms: tuple[Mechanism, ...] = ()
    services: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()

    def matches(self, service: str, mechanism: str) -> bool:
        """Whether it is for this trouble."""
        if self.mechanisms or self.services:
            fits_service = not self.services or any(fnmatchcase(service, pattern) for pattern in self.services)
            return fits_service and (not self.mechanisms or mechanism in self.mechanisms)
        named = self.words & set(MECHANISMS)
        if service.lower() in self.words:
            return not named or mechanism in named
        return mechanism in named and mechanism != "unknown"


def read_playbooks(folder: Path | None) -> tuple[Playbook, ...]:
    """The playbooks of a folder, by file name; none without a folder.

    Raises:
        RunbookError: a file cannot be read, or its front matter is wrong; a line a mistake.
    """
    if folder is None:
        return ()
    read, mistakes = [], []
    try:
        paths = sorted(folder.glob("*.md"))
    except OSError as error:
        raise RunbookError(f"{folder}: cannot be read ({error.strerror}). Check the path.") from error
    for path in paths:
        if path.name.lower() == "readme.md":
            continue
        try:
            read.append(read_playbook(path))
        except RunbookError as error:
            mistakes.append(error.message)
    if mistakes:
        raise RunbookError("\n".join(mistakes))
    return tuple(read)


def read_playbook(path: Path) -> Playbook:
    """One file. Raises RunbookError."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise RunbookError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    except UnicodeDecodeError as error:
        raise RunbookError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    if len(raw) > LARGEST_BYTES:
        raise RunbookError(f"{path}: is larger than {LARGEST_BYTES >> 10} KiB; that is no playbook")
    found = _FRONT.match(text)
    front = _front(path, found[1]) if found else _Front()
    body = text[found.end() :] if found else text
    headings = _HEADING.findall(body)
    title = front.title or (headings[0] if headings else path.stem)
    return Playbook(
        path=path,
        title=one_line(title, 120),
        text=body,
        mechanisms=front.mechanisms,
        services=front.services,
        words=frozenset(word.lower() for heading in headings for word in _WORD.findall(heading)),
    )


def _front(path: Path, text: str) -> _Front:
    try:
        # It begins in the file's second line.
        documents = documents_in(path, f"\n{text}")
    except ConfigError as error:
        raise RunbookError(error.message.replace(": is not YAML:", ": the front matter is not YAML:")) from error
    if len(documents) > 1:
        raise RunbookError(f"{documents[1].where()}: the front matter has a second document; keep one")
    (document,) = documents or (Document(path=path, data={}),)
    return validated(_Front, document)


def matching(playbooks: Sequence[Playbook], diagnosis: Diagnosis | None, service: str) -> tuple[Playbook, ...]:
    """Those for an incident: for its first suspect, or, without a diagnosis, for the service that it is named by."""
    mechanism = ""
    if diagnosis and diagnosis.suspects and not diagnosis.abstained:
        service, mechanism = diagnosis.suspects[0].service, diagnosis.suspects[0].mechanism
    return tuple(each for each in playbooks if each.matches(service, mechanism))[:MOST_SHOWN]
