"""What the stand-in remembers: messages, on disk, so that a restart loses none."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from alerting.channels.slack.standin.rules import RuleError

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS posts (
  channel TEXT NOT NULL, ts TEXT NOT NULL, thread_ts TEXT, body TEXT NOT NULL, edited TEXT, PRIMARY KEY (channel, ts)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS whispers (channel TEXT NOT NULL, user TEXT NOT NULL, ts TEXT NOT NULL, text TEXT NOT NULL);
"""
BOT: Final = {"user_id": "U0WATCHKEEPER", "bot_id": "B0WATCHKEEPER", "team_id": "T0LOCAL", "app_id": "A0WATCHKEEPER"}


class Workspace:
    """One workspace with one channel for pages, others by id, and a direct conversation with each user."""

    def __init__(self, path: Path, channel: str, users: Iterable[str] = (), others: Iterable[str] = ()) -> None:
        """`channel` is its name or its id; `users` can be written to directly; `others` are ids of channels."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)
        self._rename_columns()
        self._lock = threading.Lock()
        self._last = 0
        self.channel = {"id": "C0INCIDENTS", "name": channel.lstrip("#"), "is_channel": True, "is_member": True}
        self.direct = {user: f"D{user}" for user in users}
        self.others = frozenset(others)

    def channel_id(self, name: str) -> str:
        """A channel's id by name or id.

        Raises:
            RuleError: channel_not_found.
        """
        if name.lstrip("#") in (self.channel["id"], self.channel["name"]):
            return str(self.channel["id"])
        if name in self.direct:
            return self.direct[name]
        if name in self.direct.values() or name in self.others:
            return name
        raise RuleError("channel_not_found")

    def post(self, channel: str, body: dict[str, Any], thread_ts: str | None = None) -> dict[str, Any]:
        """Keep a new message; returns it with its timestamp."""
        with self._lock:
            if thread_ts and not self._get(channel, thread_ts):
                raise RuleError("thread_not_found")
            ts = self._timestamp()
            message = {"type": "message", "user": BOT["user_id"], "bot_id": BOT["bot_id"], "ts": ts} | body
            if thread_ts:
                message["thread_ts"] = thread_ts
            row = (channel, ts, thread_ts, json.dumps(message))
            self._db.execute("INSERT INTO posts (channel, ts, thread_ts, body) VALUES (?, ?, ?, ?)", row)
        return message

    def edit(self, channel: str, ts: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change a message.

        Raises:
            RuleError: message_not_found.
        """
        with self._lock:
            message = self._get(channel, ts)
            if message is None:
                raise RuleError("message_not_found")
            changed = message | body | {"edited": {"user": BOT["user_id"], "ts": self._timestamp()}}
            self._db.execute(
                "UPDATE posts SET body = ? WHERE channel = ? AND ts = ?", (json.dumps(changed), channel, ts)
            )
        return changed

    def whisper(self, channel: str, user: str, text: str) -> str:
        """Keep a message that one user sees."""
        with self._lock:
            ts = self._timestamp()
            self._db.execute("INSERT INTO whispers VALUES (?, ?, ?, ?)", (channel, user, ts, text))
        return ts

    def messages(self, channel: str, limit: int = 200, *, oldest: str = "0", before: str = "") -> list[dict[str, Any]]:
        """The channel's messages, newest first, threads aside: after `oldest`, and before the timestamp `before`."""
        query = (
            "SELECT body FROM posts WHERE channel = ? AND thread_ts IS NULL AND ts > ? AND ts < ? "
            "ORDER BY ts DESC LIMIT ?"
        )
        with self._lock:
            rows = self._db.execute(query, (channel, oldest, before or "9", limit)).fetchall()
        return [json.loads(body) for (body,) in rows]

    def thread(self, channel: str, ts: str, limit: int = 1000, *, after: str = "0") -> list[dict[str, Any]]:
        """A message and its replies, oldest first, those after the timestamp `after`.

        Raises:
            RuleError: thread_not_found.
        """
        query = "SELECT body FROM posts WHERE channel = ? AND (ts = ? OR thread_ts = ?) AND ts > ? ORDER BY ts LIMIT ?"
        with self._lock:
            if self._get(channel, ts) is None:
                raise RuleError("thread_not_found")
            rows = self._db.execute(query, (channel, ts, ts, after, limit)).fetchall()
        return [json.loads(body) for (body,) in rows]

    def delete(self, channel: str, ts: str) -> None:
        """Take a message away, as a human may in Slack.

        Raises:
            RuleError: message_not_found.
        """
        with self._lock:
            if self._get(channel, ts) is None:
                raise RuleError("message_not_found")
            self._db.execute("DELETE FROM posts WHERE channel = ? AND ts = ?", (channel, ts))

    def whispers(self, channel: str, since: str = "0") -> list[dict[str, str]]:
        """Messages that single users can see."""
        query = "SELECT user, ts, text FROM whispers WHERE channel = ? AND ts > ? ORDER BY ts"
        with self._lock:
            return [{"user": u, "ts": ts, "text": text} for u, ts, text in self._db.execute(query, (channel, since))]

    def close(self) -> None:
        self._db.close()

    def _rename_columns(self) -> None:
        """Files of earlier versions call a channel `room`."""
        for table in ("posts", "whispers"):
            if self._db.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = 'room'", (table,)).fetchone():
                self._db.execute(f"ALTER TABLE {table} RENAME COLUMN room TO channel")

    def _get(self, channel: str, ts: str) -> dict[str, Any] | None:
        row = self._db.execute("SELECT body FROM posts WHERE channel = ? AND ts = ?", (channel, ts)).fetchone()
        return json.loads(row[0]) if row else None

    def _timestamp(self) -> str:
        """Slack's message timestamps: unique and rising."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"
