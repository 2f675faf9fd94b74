"""Where the receivers' change events and alerts go: the state database, opened beside the first telemetry."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from collectors.webhooks.alertmanager import Webhook, parse_webhook, summary_of
from collectors.webhooks.changes import parse_change
from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.problems import Problems

if TYPE_CHECKING:
    from watchkeeper.state.database import Database

LOOP: Final = "alerts"


class StateSinks:
    """Takes decoded bodies. Threads may share one; nothing waits until the database is open but who needs it first."""

    def __init__(self, config: Config, problems: Problems) -> None:
        self._config = config
        self._problems = problems
        self._opening = threading.Lock()
        self._db: Database | None = None

    def _database(self) -> Database:
        # Imported here: the receivers must not wait for it at their start.
        from watchkeeper.state.database import Database

        with self._opening:
            if self._db is None:
                self._db = Database.open(self._config)
            return self._db

    def open_early(self) -> None:
        """Open the database before it is needed. A failure shows when it is."""
        with contextlib.suppress(WatchkeeperError):
            self._database()

    def take_change(self, body: Any) -> dict[str, Any]:
        """Keep one change event.

        Raises:
            MalformedError: not a change event; names each wrong key.
            DatabaseError: it could not be kept; send it again.
        """
        from watchkeeper.state.changes import record_change

        change = parse_change(body, datetime.now(UTC))
        return {"id": change.id, "new": record_change(self._database(), change)}

    def take_alerts(self, body: Any) -> dict[str, Any]:
        """Keep a webhook's alerts, and answer with what became of them.

        Raises:
            MalformedError: not a webhook, or nothing in it can be used.
            DatabaseError: it could not be kept, or only in part; send it again, which does nothing twice.
        """
        from watchkeeper.state.alerts import record_alerts

        now = datetime.now(UTC)
        webhook = parse_webhook(body, now, self._config.ingest.alerts_per_request)
        expire_after = timedelta(hours=self._config.ingest.alerts_expire_hours)
        recorded = record_alerts(self._database(), webhook.notices, now, expire_after)
        self._report(webhook)
        answer: dict[str, Any] = {"firing": recorded.firing, "resolved": recorded.resolved}
        if recorded.late:
            answer["late"] = recorded.late
        if webhook.truncated:
            answer["truncated"] = webhook.truncated
        if webhook.set_aside:
            answer["set_aside"] = summary_of(webhook.set_aside)
        return answer

    def _report(self, webhook: Webhook) -> None:
        """Keep what was set aside where an operator looks; each kind of an alert once for one body."""
        reasons: dict[str, tuple[str, int]] = {}
        for each in webhook.set_aside:
            reason, count = reasons.get(each.name, (each.reason, 0))
            reasons[each.name] = (reason, count + 1)
        known = {problem.subject for problem in self._problems.current() if problem.loop == LOOP}
        for name, (reason, count) in list(reasons.items())[:100]:
            self._problems.report(LOOP, name, f"{reason} ({count} in one body)" if count > 1 else reason)
        if webhook.truncated:
            reason = f"the sender cut {webhook.truncated} alerts off its body: raise max_alerts there, or group by less"
            self._problems.report(LOOP, webhook.sender, reason)
        elif webhook.sender in known:
            self._problems.solved(LOOP, webhook.sender)
        if known - reasons.keys():
            names = {notice.finding.alert.name for notice in webhook.notices if notice.finding.alert}
            for name in names & known - reasons.keys():
                self._problems.solved(LOOP, name)
