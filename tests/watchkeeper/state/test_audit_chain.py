"""The audit trail is a chain: whatever was changed in it shows, on both databases."""

from __future__ import annotations

import contextlib
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, select, text, update

from tests.front_door import front_door
from watchkeeper.errors import NotFound, StateError
from watchkeeper.state.audit import audit_trail, record_audit, verify_audit
from watchkeeper.state.database import Database, upgrade
from watchkeeper.state.schema import audit
from watchkeeper.vocabulary import Actor

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANA = Actor(name="Ana", via="cli")


def write(db: Database, count: int, who: Actor = ANA) -> None:
    for number in range(count):
        with db.write() as connection:
            record_audit(connection, AT + timedelta(seconds=number), who, "override.add", "primary", f"detail {number}")


def test_an_untouched_trail_verifies(db: Database) -> None:
    """So does an empty one, and the digest of an entry is that of all before it."""
    assert verify_audit(db).entries == 0
    write(db, 5)
    verified = verify_audit(db)
    assert (verified.entries, verified.digest) == (5, audit_trail(db)[0].digest)
    assert len({entry.digest for entry in audit_trail(db)}) == 5


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", 1_772_366_402_000_001),
        ("actor", "Anb"),
        ("via", "clj"),
        ("action", "override.adc"),
        ("subject", "prjmary"),
        ("detail", "detail 3"),
        ("digest", "0" * 64),
        ("id", 99),
    ],
)
def test_one_flipped_byte_is_found(db: Database, column: str, value: object) -> None:
    """In every column."""
    write(db, 5)
    with db.write() as connection:
        third = connection.scalars(select(audit.c.id).order_by(audit.c.id)).all()[2]
        connection.execute(update(audit).where(audit.c.id == third).values({column: value}))
    with pytest.raises(StateError, match="the audit trail was changed at entry"):
        verify_audit(db)


def test_an_entry_that_was_removed_is_found(db: Database) -> None:
    """In between by itself; at the end by a digest that somebody noted."""
    write(db, 5)
    noted = verify_audit(db).digest
    ids = select(audit.c.id).order_by(audit.c.id.desc()).limit(1)
    with db.write() as connection:
        connection.execute(delete(audit).where(audit.c.id == connection.scalar(ids)))
    assert verify_audit(db).entries == 4
    with pytest.raises(NotFound, match="removed or made anew"):
        verify_audit(db, noted)
    with db.write() as connection:
        first = connection.scalars(select(audit.c.id).order_by(audit.c.id)).all()[1]
        connection.execute(delete(audit).where(audit.c.id == first))
    with pytest.raises(StateError, match="was changed"):
        verify_audit(db)


def test_writers_at_once_keep_one_chain(db: Database) -> None:
    """Whoever comes second waits, so that each entry follows one other."""
    threads = [threading.Thread(target=write, args=(db, 8, Actor(name=name, via="cli"))) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify_audit(db).entries == 24


def test_what_was_rolled_back_leaves_no_gap(db: Database) -> None:
    """A database may skip a number; the chain does not."""
    write(db, 2)
    with contextlib.suppress(ZeroDivisionError), db.write() as connection:
        record_audit(connection, AT, ANA, "override.add", "primary", "never")
        raise ZeroDivisionError
    write(db, 2)
    assert verify_audit(db).entries == 4


def test_entries_from_before_the_chain_get_their_digests(tmp_path: Path) -> None:
    """The upgrade makes a chain of them, which new ones go on."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, "0020")
        row = "INSERT INTO audit (at, actor, via, action, subject, detail) VALUES (:at, 'Ána', 'cli', 'a.b', 's', 'd')"
        for at in (1, 2, 3):
            connection.execute(text(row), {"at": at})
    engine.dispose()
    db = Database.open(url)
    write(db, 1)
    assert verify_audit(db).entries == 4
    db.close()


def test_the_command_line_lists_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed entry is exit status 1, with one sentence."""
    config = tmp_path / "watchkeeper.yaml"
    config.write_text("data_dir: data\n")
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(config))
    run = front_door(monkeypatch, capsys)
    assert run("audit", "list")[1] == "The audit trail is empty.\n"
    assert run("silence", "add", "--service", "cart", "--for", "1h", "--reason", "move", "--as", "Ana")[0] == 0
    (entry,) = json.loads(run("audit", "list", "--json")[1])
    assert (entry["actor"], entry["action"]) == ("Ana", "silence.add")
    assert "silence.add" in run("audit", "list")[1]
    verified = json.loads(run("audit", "verify", "--json")[1])
    assert verified == {"entries": 1, "digest": entry["digest"]}
    assert run("audit", "verify", "--known", entry["digest"])[0] == 0
    database = Database.open(f"sqlite:///{next((tmp_path / 'data').glob('*.db'))}")
    with database.write() as connection:
        connection.execute(update(audit).values(actor="Ben"))
    database.close()
    status, out, err = run("audit", "verify")
    assert (status, out) == (1, "")
    assert "the audit trail was changed at entry 1" in err
