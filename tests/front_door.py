"""Commands given in this process as a user gives them: through `main`, with exit status and output."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest

from watchkeeper.cli import main as front

Said = tuple[int, str, str]
Run = Callable[..., Said]


def front_door(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function from a command's words, and what is typed meanwhile, to exit status, stdout and stderr."""

    def command(*words: str, typed: str | None = None) -> Said:
        monkeypatch.setattr("sys.argv", ["watchkeeper", *words])
        if typed is not None:
            monkeypatch.setattr("sys.stdin", StringIO(typed))
        capsys.readouterr()
        status = 0
        try:
            front.main()
        except SystemExit as left:
            status = int(left.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return command
