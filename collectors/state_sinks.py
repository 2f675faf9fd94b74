"""Where the sources' change events and alerts go: the state database, opened beside the first telemetry."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.vocabulary import AlertNotice, ChangeEvent

if TYPE_CHECKING:
    from collectors.webhooks.alert_episodes import Recorded
    from watchkeeper.state.database import Database


class StateSinks:
    """The `Sinks` of a running role. Nothing waits until the database is open but who needs it first."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._opening = threading.Lock()
        self._db: Database | None = None

    def open_early(self) -> None:
        """Open the database before it is needed. A failure shows when it is."""
        with contextlib.suppress(WatchkeeperError):
            self._database()

    def change(self, change: ChangeEvent) -> bool:
        """Keep one change event; whether it is new."""
        from watchkeeper.state.changes import record_change

        return record_change(self._database(), change)

    def heartbeat(self, name: str) -> None:
        """Keep that a heartbeat was heard now."""
        from watchkeeper.state.heartbeats import record_heartbeat

        record_heartbeat(self._database(), name, datetime.now(UTC))

    def alerts(self, notices: Sequence[AlertNotice]) -> Recorded:
        """Keep what another system's alerts report."""
        from collectors.webhooks.alert_episodes import record_alerts

        expire_after = timedelta(hours=self._config.ingest.alerts_expire_hours)
        return record_alerts(self._database(), notices, datetime.now(UTC), expire_after)

    def _database(self) -> Database:
        # Imported here: the receivers must not wait for it at their start.
        from watchkeeper.state.database import Database

        with self._opening:
            if self._db is None:
                self._db = Database.open(self._config)
            return self._db
