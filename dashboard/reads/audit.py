"""The audit trail, and whether its chain is unbroken."""

from __future__ import annotations

from typing import Final

from dashboard.reads.cache import Cache
from watchkeeper.errors import BrokenTrail
from watchkeeper.state.audit import AuditEntry, Verified, audit_trail, verify_audit
from watchkeeper.state.database import Database

CHECKED_S: Final = 60.0  # every entry is read for it
NEWEST: Final = 500


class AuditReads:
    """Reads of the audit trail. Methods raise StateError if the database cannot be read."""

    def __init__(self, db: Database, cache: Cache) -> None:
        self._db = db
        self._cache = cache
        self._slow_cache = Cache(CHECKED_S)

    def newest(self) -> tuple[AuditEntry, ...]:
        """The newest entries, newest first."""
        return self._cache.get("audit", lambda: audit_trail(self._db, NEWEST))

    def verified(self) -> Verified:
        """The chain from its first entry on, checked at most once a minute, whether or not it is broken.

        Raises:
            BrokenTrail: an entry was changed; the message names it.
            StateError: the trail cannot be read.
        """
        result = self._slow_cache.get("chain", self._checked)
        if isinstance(result, BrokenTrail):
            raise result
        return result

    def _checked(self) -> Verified | BrokenTrail:
        """What the check came to: a broken chain is a result, too, and is remembered."""
        try:
            return verify_audit(self._db)
        except BrokenTrail as broken:
            return broken
