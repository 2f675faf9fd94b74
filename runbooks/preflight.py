"""The runbooks that a configuration names: checked before a start, and read as far as they can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runbooks.library import Library, load_runbooks
from runbooks.playbook import Playbook, matching, read_playbooks
from runbooks.policy import Policy
from watchkeeper.config import ReadConfig
from watchkeeper.errors import RunbookError
from watchkeeper.problems import Problems
from watchkeeper.target import target_registry
from watchkeeper.vocabulary import Diagnosis

LOOP: Final = "configuration"


def runbook_mistakes(file: ReadConfig) -> Iterator[str]:
    """What is wrong with the folder `runbooks.dir`, its policy and the kinds of `targets`, a line a mistake."""
    try:
        load_runbooks(file.config.runbooks.dir)
        read_playbooks(file.config.runbooks.dir)
    except RunbookError as error:
        for line in error.message.splitlines():
            yield f"{file.where('runbooks', 'dir')}: {line}"
    kinds = target_registry().parts
    for name, section in file.config.targets.items():
        if section.kind not in kinds:
            yield (
                f"{file.where('targets', name, 'kind')}: no target kind {section.kind!r} is installed. "
                f"Choose one of {', '.join(kinds)}, or install the package that brings it."
            )


def playbooks_for(folder: Path | None, diagnosis: Diagnosis | None, service: str) -> tuple[Playbook, ...]:
    """The playbooks that match an incident; none where the folder cannot be read."""
    try:
        return matching(read_playbooks(folder), diagnosis, service)
    except RunbookError:
        return ()


def readable_runbooks(folder: Path | None, problems: Problems) -> Library:
    """The runbooks of a folder; none, and nothing that they may touch, where it can't be read."""
    subject = folder or "built-in runbooks"
    try:
        library = load_runbooks(folder)
    except RunbookError as error:
        problems.report(LOOP, subject, error)
        return Library(books={}, policy=Policy(services=()))
    problems.solved(LOOP, subject)
    return library
