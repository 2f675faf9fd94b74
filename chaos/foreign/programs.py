"""The programs that the system is made of: where they are, or what is missing."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchkeeper.errors import ChaosError

SERVICES: Final = Path(__file__).parent / "services"
OLDEST_NODE: Final = 18
INSTALL_WITHIN_S: Final = 300.0
DATABASE_USER: Final = "postgres"  # the server refuses to run as root


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Paths of the programs, and the folder with the packages of the Node programs."""

    node: str
    nginx: str
    redis: str
    postgres: Path  # its folder of programs
    modules: Path


def find() -> Programs:
    """Find every program, and install the Node packages once, in a cache.

    Raises:
        ChaosError: something is missing; the message names the Debian packages.
    """
    node, npm, nginx, redis = (_which(name) for name in ("node", "npm", "nginx", "redis-server"))
    postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    missing = [name for name, path in (("nodejs", node), ("npm", npm), ("nginx-light", nginx)) if not path]
    missing += [] if redis else ["redis-server"]
    missing += [] if postgres and _has_user(DATABASE_USER) else ["postgresql"]
    if missing or not (node and npm and nginx and redis):
        raise ChaosError(f"the foreign system needs {', '.join(missing)}: install the Debian packages of these names")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        raise ChaosError(f"the foreign system needs Node {OLDEST_NODE} or later; {node} is {version}")
    return Programs(node=node, nginx=nginx, redis=redis, postgres=postgres[-1].parent, modules=_packages(npm))


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _packages(npm: str) -> Path:
    """The folder with `node_modules` as the lock file says, installed on first use."""
    own = Path(__file__).parent
    lock = (own / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "watchkeeper" / f"foreign-{hashlib.sha256(lock).hexdigest()[:16]}"
    if (folder / "complete").exists():
        return folder / "node_modules"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(own / name, folder / name)
    # No package may run code of its own when it is installed.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ChaosError(f"the Node packages could not be installed within {INSTALL_WITHIN_S:g} s") from error
    if done.returncode:
        raise ChaosError(f"the Node packages cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    (folder / "complete").touch()
    return folder / "node_modules"
