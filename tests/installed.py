"""An installation from wheels, as a user has it: a fresh environment in which nothing is editable.

The libraries are this environment's own, so that no network is needed; Watchkeeper itself comes from its wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build_wheel(project: Path, into: Path) -> Path:
    """The wheel of a project, built with the tools that are installed here."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,) = into.glob("*.whl")
    return wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A fresh environment, and the folder in which its commands run: no folder of this repository."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, *wheels: Path) -> Installation:
        """Make one, with these wheels and nothing else of our own."""
        made = cls(folder=folder)
        venv.create(made.environment, symlinks=True)
        install = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(made.python)]
        here = Path(sys.executable).parent
        subprocess.run([str(here / install[0]), *install[1:], *map(str, wheels)], check=True, capture_output=True)
        # A path in a .pth file is searched last, and the .pth files inside it are not read: so nothing editable comes.
        libraries = sysconfig.get_path("purelib")
        (site_packages,) = made.environment.glob("lib/python*/site-packages")
        (site_packages / "libraries.pth").write_text(f"{libraries}\n")
        return made

    @property
    def environment(self) -> Path:
        return self.folder / "venv"

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A `watchkeeper` command; with `check`, it must succeed."""
        return self._run([str(self.environment / "bin" / "watchkeeper"), *words], check=check)

    def run_python(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The environment's Python, with arguments."""
        return self._run([str(self.python), *words], check=check)

    def _run(self, command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=self.folder, env=self.variables(), capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done

    def variables(self) -> dict[str, str]:
        """The environment variables of a process: ours, without what points into this repository."""
        return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "WATCHKEEPER_CONFIG")}
