"""The objectives that a configuration names: checked before a start, and read as far as they can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from detectors.slo.openslo import Slo, read
from watchkeeper.config import ReadConfig
from watchkeeper.errors import ConfigError
from watchkeeper.problems import Problems

LOOP: Final = "configuration"


def objective_mistakes(file: ReadConfig) -> Iterator[str]:
    """What is wrong with the files under `slo`, a line a mistake."""
    paths = file.config.slo
    try:
        read(paths)
    except ConfigError as error:
        for line in error.message.splitlines():
            number = next((i for i, path in enumerate(paths) if line.startswith(f"{path}:")), 0)
            yield f"{file.where('slo', number)}: {line}"


def readable_objectives(paths: Sequence[Path], problems: Problems) -> tuple[Slo, ...]:
    """The objectives of all files that can be read together; one that can't, or needs one that can't, is set aside."""
    left = list(paths)
    while True:
        try:
            objectives = read(left)
        except ConfigError as error:
            mistakes = error.message.splitlines()
            for path in left:
                about = [line for line in mistakes if line.startswith(f"{path}:")]
                if about:
                    problems.report(LOOP, path, about[0])
            good = [path for path in left if not any(line.startswith(f"{path}:") for line in mistakes)]
            left = good if len(good) < len(left) else []  # a mistake that names no file would be found for ever
            continue
        for path in left:
            problems.solved(LOOP, path)
        return objectives
