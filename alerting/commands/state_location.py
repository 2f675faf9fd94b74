"""Where the state database is, without validating the whole configuration: for commands that must answer at once.

Whatever is not plain (a mistake, a variable, PostgreSQL) is left to `watchkeeper.config`, which says what is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from watchkeeper.errors import ConfigError

DATA_DIR = "watchkeeper-data"


def _read(path: Path | None) -> tuple[Path, dict[str, Any]] | None:
    """The folder to which paths are relative, and what the file holds; None where it is no plain configuration."""
    if path is None:
        return Path.cwd(), {}
    from watchkeeper.yaml_file import read_document

    try:
        data = read_document(path).data or {}
    except ConfigError:
        return None
    return (path.absolute().parent, data) if isinstance(data, dict) else None


def data_folder(path: Path | None) -> Path | None:
    """`data_dir` as the configuration in `path` names it; None: read it in full."""
    read = _read(path)
    name = read[1].get("data_dir", DATA_DIR) if read else None
    if read is None or not isinstance(name, str) or not name.strip() or name.startswith("~"):
        return None
    return (read[0] / name).absolute()


def sqlite_file(path: Path | None) -> Path | None:
    """The file of an SQLite state database as the configuration in `path` names it; None: read it in full."""
    read = _read(path)
    if read is None:
        return None
    folder, data = read
    state, data_dir = data.get("state") or {}, data.get("data_dir", DATA_DIR)
    if not isinstance(state, dict) or state.get("url_env") is not None:
        return None
    url = state.get("url")
    name = f"{data_dir}/state.db" if url is None else str(url).removeprefix("sqlite:///")
    plain = isinstance(data_dir, str) and name.isprintable() and not name.startswith("~") and "?" not in name
    if not plain or not data_dir.strip() or (url is not None and not str(url).startswith("sqlite:///")):
        return None
    return (folder / name).absolute()
