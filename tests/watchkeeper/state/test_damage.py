"""A state database that is damaged is kept, replaced by the newest good backup, and told; one that is busy is not."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchkeeper.config import Config, StateConfig
from watchkeeper.errors import NotFound, StateError
from watchkeeper.problems import Problems
from watchkeeper.roles.doctor import state as state_check
from watchkeeper.roles.state_file import back_up_and_report, look_after
from watchkeeper.state.backup import KEPT, back_up, back_up_daily, backups, file_of, restore, restored_marker
from watchkeeper.state.changes import changes_between, record_change
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import ChangeEvent, Window

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path / "data")


def fill(config: Config, *names: str) -> Path:
    """Changes in the database; returns its file, which nobody uses any more."""
    db = Database.open(config)
    for name in names:
        record_change(db, ChangeEvent(id=name, at=NOW, kind="deploy", service="cart", title="x" * 2000))
    db.close()
    path = file_of(config)
    assert path is not None
    return path


def held(config: Config) -> list[str]:
    db = Database.open(config)
    found = [change.id for change in changes_between(db, Window.last(60, until=NOW + timedelta(seconds=30)))]
    db.close()
    return found


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 512)


def text(path: Path) -> None:
    path.write_text("somebody's notes\n" * 1000)


def noise(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


def nameless(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE alembic_version")
        connection.commit()


DAMAGES: tuple[Callable[[Path], None], ...] = (cut, empty, head, text, noise, folder, pipe, newer, nameless)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_start_keeps_the_damaged_file_and_goes_on_with_the_newest_good_backup(
    config: Config, damage: Callable[[Path], None]
) -> None:
    """Whatever became of the file: nothing is deleted, what was backed up is there, and everybody is told."""
    path = fill(config, "one")
    back_up(config, now=NOW - timedelta(days=2))
    fill(config, "two")
    back_up(config, now=NOW - timedelta(days=1))
    broken = back_up(config, now=NOW)
    broken.write_bytes(b"no database either")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    done = look_after(config)
    assert done is not None
    assert done.backup == backups(config)[1]
    assert (done.aside.read_bytes() if done.aside.is_file() else None) == before
    assert done.aside.name.startswith("state.db.newer-" if damage is newer else "state.db.damaged-")
    for part in (str(done.aside), str(done.backup), "watchkeeper restore"):
        assert part in str(done)
    assert look_after(config) is None
    assert held(config) == ["one", "two"]
    assert any(str(done.aside) in result.seen for result in state_check(config))
    marker = restored_marker(config)
    assert marker is not None
    assert marker.exists()


@pytest.mark.parametrize("damage", [cut, text, folder, newer])
def test_without_a_backup_it_begins_empty_and_says_so(config: Config, damage: Callable[[Path], None]) -> None:
    """A start that cannot have the old state is still a start that pages."""
    damage(fill(config, "one"))
    done = look_after(config)
    assert done is not None
    assert "begins empty" in str(done)
    assert held(config) == []


def test_what_is_whole_stays_where_it_is(config: Config) -> None:
    """With a log that was not merged yet, as after a kill; empty and missing files are no damage either."""
    path = fill(config, "one")
    code = (
        "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA wal_autocheckpoint = 0');"
        "c.execute('DELETE FROM changes'); c.commit(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.with_name("state.db-wal").stat().st_size > 0
    assert look_after(config) is None
    assert held(config) == []
    other = Config(data_dir=config.data_dir / "other")
    assert look_after(other) is None
    file = other.data_dir / "state.db"
    file.touch()
    assert look_after(other) is None
    assert held(other) == []


def test_a_file_that_is_locked_or_unreadable_is_not_damaged(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and nothing moves."""
    monkeypatch.setattr("watchkeeper.state.sqlite_file.BUSY_S", 0.1)
    path = fill(config, "one")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateError, match="another program holds it"):
            look_after(config)
    assert look_after(config) is None
    assert held(config) == ["one"]


def test_a_damaged_file_that_others_use_is_not_moved_under_their_feet(config: Config) -> None:
    """Two roles with two files of one name would each be right alone."""
    path = fill(config, "one")
    db = Database.open(config)
    head(path)
    assert look_after(config) is None
    with pytest.raises(StateError, match="stop every role"):
        Database.open(config)
    assert path.exists()
    db.close()
    assert look_after(config) is not None


def test_a_command_on_a_damaged_file_moves_nothing_and_says_what_to_do(config: Config) -> None:
    """Only a start repairs; whoever lists incidents reads one sentence."""
    path = fill(config, "one")
    text(path)
    with pytest.raises(StateError, match="stop every role, then start again"):
        Database.open(config)
    assert state_check(config)[0].status == "problem"
    newer_config = Config(data_dir=config.data_dir / "newer")
    newer(fill(newer_config, "one"))
    with pytest.raises(StateError, match=r"a newer Watchkeeper wrote it.*Use that version"):
        Database.open(newer_config)


def test_a_backup_is_made_daily_and_seven_are_kept(config: Config) -> None:
    """Whole, its owner's alone, and made beside somebody who writes."""
    fill(config, "one")
    db = Database.open(config)
    now = NOW
    for day in range(10):
        now = NOW + timedelta(days=day, minutes=day)
        assert back_up_daily(config, now) is not None
        assert back_up_daily(config, now + timedelta(hours=23)) is None
        record_change(db, ChangeEvent(id=f"day {day}", at=NOW, kind="deploy", service="cart", title="x"))
    assert len(backups(config)) == KEPT
    assert all(path.stat().st_mode & 0o077 == 0 for path in (*backups(config), backups(config)[0].parent))
    assert [path.name for path in backups(config)[0].parent.iterdir() if path not in backups(config)] == []
    # A copy from the future, by a clock that stepped back since, does not stop the daily ones.
    assert back_up_daily(config, NOW) is not None
    db.close()


def test_a_backup_goes_back_by_hand_and_what_was_there_is_kept(config: Config, tmp_path: Path) -> None:
    """With every role stopped; while one runs, or from what is no backup, nothing moves."""
    fill(config, "one")
    copy = back_up(config, tmp_path / "copy.db")
    fill(config, "two")
    db = Database.open(config)
    with pytest.raises(StateError, match="in use"):
        restore(config, copy)
    db.close()
    with pytest.raises(NotFound):
        restore(config, tmp_path / "nowhere.db")
    text(tmp_path / "notes.db")
    with pytest.raises(StateError, match="not usable"):
        restore(config, tmp_path / "notes.db")
    assert held(config) == ["one", "two"]
    aside = restore(config, copy)
    assert held(config) == ["one"]
    assert aside is not None
    assert aside.exists()


def test_a_damaged_database_is_not_copied(config: Config) -> None:
    """A backup that is none is worse than none."""
    path = fill(config, "one")
    noise(path)
    with pytest.raises(StateError):
        back_up(config)
    assert backups(config) == []


def test_postgresql_has_its_own_means(tmp_path: Path) -> None:
    """The message names them, and a start looks at no file."""
    config = Config(data_dir=tmp_path, state=StateConfig(url="postgresql://ana@127.0.0.1:1/state"))
    with pytest.raises(StateError, match="pg_dump"):
        back_up(config)
    assert look_after(config) is None
    assert back_up_daily(config, NOW) is None


def test_a_kept_file_is_told_until_it_is_moved_away(config: Config) -> None:
    """Among what was set aside, so in doctor, readiness and on the overview."""
    text(fill(config, "one"))
    done = look_after(config)
    assert done is not None
    fill(config, "two")
    problems = Problems(None)
    back_up_and_report(config, problems, NOW)
    (problem,) = problems.current()
    assert (problem.loop, problem.subject) == ("state", done.aside.name)
    done.aside.rename(config.data_dir / "seen.db")
    back_up_and_report(config, problems, NOW)
    assert problems.current() == ()
