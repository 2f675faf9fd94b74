"""Messages from before there were several channels: what waits is still delivered, and what was sent is still known."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, text

from alerting.channels import outbox
from alerting.channels.channel import Thread
from alerting.incidents import journal
from watchkeeper.clock import SystemClock
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database, upgrade

INCIDENT = """{"id":"inc-1","title":"t","severity":"page","service":"cart","opened_at":"2026-03-01T03:00:00Z",
"onset":"2026-03-01T03:00:00Z","version":3,"human_state":"paged","thread":null}"""


def test_what_waited_is_for_slack_and_what_was_sent_keeps_its_place(tmp_path: Path) -> None:
    """The key stays, so that a send which was under way is recognised; the thread is found again."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, "0008")
        body = {"body": INCIDENT}
        connection.execute(
            text("INSERT INTO incidents VALUES ('inc-1', 3, 'firing', 'paged', 1, 2, NULL, :body)"), body
        )
        connection.execute(
            text(
                "INSERT INTO outbox (key, incident_id, body, created_at, due_at, leased_until, attempts) "
                "VALUES ('inc-1:3', 'inc-1', :body, 1, 1, 0, 1)"
            ),
            {"body": '{"kind":"page","person":"ana","text":"t","step":0}'},
        )
        connection.execute(text("INSERT INTO messages VALUES ('inc-1', 'slack', 'C1', '1.5')"))
    engine.dispose()
    db = Database.open(url)
    (page,), updates = outbox.due(db, "slack", SystemClock().now(), Problems(None))
    assert (page.key, page.draft.person, page.attempts, updates) == ("inc-1:3", "ana", 1, [])
    with db.read() as connection:
        assert outbox.thread_of(connection, "inc-1", "slack") == Thread(conversation="C1", ts="1.5")
        assert journal.load(connection, "inc-1").human_state == "paged"
    db.close()
