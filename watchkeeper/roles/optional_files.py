"""Optional files that broke after the start: set aside and named, so that a restart at night still pages.

`watchkeeper up`, and each role that is started by hand, refuses them with file, line and key (see `foresight`). A role
that its supervisor starts again must not: whoever edited the file is asleep by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from detectors.slo.openslo import Slo
from detectors.slo.openslo import read as read_objectives
from runbooks.library import Library, load_runbooks
from runbooks.policy import Policy
from watchkeeper.errors import ConfigError, RunbookError
from watchkeeper.problems import Problems

LOOP: Final = "configuration"


def objectives(paths: Sequence[Path], problems: Problems) -> tuple[Slo, ...]:
    """The objectives of all files that can be read together; one that can't, or needs one that can't, is set aside."""
    left = list(paths)
    while True:
        try:
            found = read_objectives(left)
        except ConfigError as error:
            told = error.message.splitlines()
            for path in left:
                about = [line for line in told if line.startswith(f"{path}:")]
                if about:
                    problems.report(LOOP, path, about[0])
            good = [path for path in left if not any(line.startswith(f"{path}:") for line in told)]
            left = good if len(good) < len(left) else []  # a mistake that names no file would be told for ever
            continue
        for path in left:
            problems.solved(LOOP, path)
        return found


def runbooks(folder: Path | None, problems: Problems) -> Library:
    """The runbooks of a folder; none, and nothing that they may touch, where it can't be read."""
    subject = folder or "built-in runbooks"
    try:
        library = load_runbooks(folder)
    except RunbookError as error:
        problems.report(LOOP, subject, error)
        return Library(books={}, policy=Policy(services=(), free=frozenset()))
    problems.solved(LOOP, subject)
    return library
