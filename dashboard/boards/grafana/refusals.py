"""Why a part of a Grafana dashboard is not taken."""

from __future__ import annotations

from watchkeeper.errors import ConfigError


class NotTaken(ConfigError):
    """A panel or a query that a board cannot show; the message says what about it."""
