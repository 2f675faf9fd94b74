"""Where the state database is, without validating the whole configuration: for commands that must answer at once.

Whatever is not plain (a mistake, a variable, PostgreSQL) is left to `watchkeeper.config`, which says what is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from watchkeeper.errors import ConfigError

DATA_DIR = "watchkeeper-data"


def sqlite_file(path: Path | None) -> Path | None:
    """The file of an SQLite state database as the configuration in `path` names it; None: read it in full."""
    folder = Path.cwd()
    data: Any = {}
    if path is not None:
        from watchkeeper.yaml_file import read_document

        try:
            document = read_document(path)
        except ConfigError:
            return None
        folder, data = path.absolute().parent, document.data or {}
    if not isinstance(data, dict):
        return None
    state, data_dir = data.get("state") or {}, data.get("data_dir", DATA_DIR)
    if not isinstance(state, dict) or state.get("url_env") is not None:
        return None
    url = state.get("url")
    name = f"{data_dir}/state.db" if url is None else str(url).removeprefix("sqlite:///")
    plain = isinstance(data_dir, str) and name.isprintable() and not name.startswith("~") and "?" not in name
    if not plain or not data_dir.strip() or (url is not None and not str(url).startswith("sqlite:///")):
        return None
    return (folder / name).absolute()
