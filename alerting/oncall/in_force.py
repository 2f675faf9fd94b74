"""The rota that is in force, for a role that runs: a new version counts within a second or two, without a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeAlias

import structlog
from prometheus_client import Gauge

from alerting.oncall.versions import newest, newest_mark
from watchkeeper.config import Config, OnCallConfig
from watchkeeper.errors import StateError
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database

VERSION = Gauge("watchkeeper_rota_version", "The version of the rota that this role uses.")
LOOK_EVERY_S: Final = 1.0
LOOP: Final = "rota"

# What gives the rota of this moment. A rota that stands still gives itself.
Rota: TypeAlias = Callable[[], OnCallConfig]


def rota_of(oncall: OnCallConfig | Rota) -> Rota:
    """What gives the rota of this moment, for a caller who may have one that stands still."""
    if isinstance(oncall, OnCallConfig):
        return lambda: oncall
    return oncall


def open_in_force(config: Config) -> Database:
    """The state database, and the configuration's rota as the newest version in it has it: for a command.

    Raises:
        StateError: the database cannot be opened.
    """
    db = Database.open(config)
    RotaInForce(db, config).look()
    return db


class RotaInForce:
    """Keeps `config.oncall` what the newest version says. Threads may share one.

    Before the first version, the file's section counts.
    """

    def __init__(self, db: Database, config: Config, problems: Problems | None = None) -> None:
        self._db = db
        self._config = config
        self._problems = problems or Problems(None)
        self._seen = (0, 0)

    @property
    def version(self) -> int:
        """The version that was seen last; 0 before the first."""
        return self._seen[0]

    def look(self) -> bool:
        """Use the newest version; whether it is another one than before.

        A version that another Watchkeeper wrote is reported, and the one before is used on.

        Raises:
            DatabaseError: the database failed.
        """
        mark = newest_mark(self._db)
        if mark == self._seen:
            return False
        version = newest(self._db)
        if version is None:
            return False
        self._seen = mark
        try:
            self._config.put_in_force(version.oncall)
        except StateError as error:
            self._problems.report(LOOP, f"version {version.id}", error)
            return False
        VERSION.set(version.id)
        return True

    def follow(self, stopping: threading.Event) -> None:
        """Look again and again, in a thread of its own, until stopped."""
        threading.Thread(target=self._follow, args=(stopping,), name="rota", daemon=True).start()

    def _follow(self, stopping: threading.Event) -> None:
        while not stopping.wait(LOOK_EVERY_S):
            try:
                if self.look():
                    structlog.get_logger().info("rota.in_force", version=self.version)
            except Exception as error:  # noqa: BLE001 - the database may be away; the rota that is known goes on
                self._problems.report(LOOP, "the rota in force", error)
            else:
                self._problems.solved(LOOP, "the rota in force")
