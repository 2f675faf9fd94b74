"""The configuration and the state database for commands about on call: with the rota that is in force."""

from __future__ import annotations

import sys
from pathlib import Path

from alerting.oncall.applying import plan_file
from alerting.oncall.in_force import open_in_force
from alerting.oncall.versions import text_of
from watchkeeper.config import Config, load
from watchkeeper.errors import ConfigError
from watchkeeper.state.database import Database


def opened(path: Path | None) -> tuple[Config, Database]:
    """A configuration file's tree, whose rota is the one that the roles use, and the state database.

    Where the file has another rota, a note on stderr says so: whoever edited it expects that one.
    """
    tree = load(path)
    file = tree.model_copy()  # keeps its rota when the tree takes the one in force
    db = open_in_force(tree)
    try:
        differs = text_of(plan_file(db, file, "").oncall) != text_of(tree.oncall)
    except ConfigError:
        differs = True
    if differs:
        print(f"note: {path or 'the defaults'} has a rota that is not in force: see `oncall diff`", file=sys.stderr)
    return tree, db
