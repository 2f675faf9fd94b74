"""`watchkeeper incident list` answers at once: it reads what the full reader reads, and imports next to nothing."""

from __future__ import annotations

import ast
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from protocol import finding

from alerting.commands import incident_list
from alerting.commands.state_location import sqlite_file
from alerting.incidents import quick_read
from alerting.incidents.commands import Incidents
from watchkeeper.clock import SystemClock
from watchkeeper.config import load
from watchkeeper.errors import ConfigError
from watchkeeper.state.codec import dump
from watchkeeper.state.database import Database
from watchkeeper.state.revision import MIGRATIONS, newest_revision
from watchkeeper.vocabulary import Actor

# What the quick command must do without; each costs from 0.1 s to seconds of CPU.
HEAVY = {
    *("pydantic", "sqlalchemy", "alembic", "numpy", "pandas", "pyarrow", "sklearn", "scipy", "statsmodels"),
    *("typer", "rich", "httpx", "fastapi", "dash", "plotly", "grpc", "slack_sdk", "icalendar", "opentelemetry"),
    *("structlog", "prometheus_client", "clickhouse_connect", "chdb"),
}
LIST = "import sys; from watchkeeper.cli.main import main; main(); print(sorted(sys.modules), file=sys.stderr)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration, and a state database with an incident acknowledged, one paged and one resolved."""
    path = tmp_path / "w.yaml"
    path.write_text("data_dir: data\n")
    config = load(path)
    db = Database.open(config)
    incidents = Incidents(db, SystemClock(), config.oncall)
    now, ana = SystemClock().now(), Actor(name="Ana\x1b[31m <!channel>", via="cli")
    services = ("payments", "mail", "search")
    opened = incidents.observe([finding(now, service) for service in services], edges=())
    assert len(opened) == 3
    for incident_id in opened:
        incidents.page(incident_id)
    incidents.acknowledge(opened[0], ana, "a")
    incidents.resolve(opened[1], ana, "r")
    db.close()
    return path


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "WATCHKEEPER_CONFIG"}
    return subprocess.run(
        [sys.executable, "-c", LIST, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=100,
    )


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--state", "open", "--limit", "5"]])
def test_it_imports_nothing_heavy(file: Path, arguments: list[str]) -> None:
    """Neither for a table nor for JSON."""
    done = run("incident", "list", "--config", str(file), *arguments, folder=file.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("inc-") >= 1
    assert HEAVY & {name.split(".")[0] for name in ast.literal_eval(done.stderr)} == set()


def test_the_front_door_imports_nothing_heavy(tmp_path: Path) -> None:
    """`watchkeeper --help` neither."""
    done = run("--help", folder=tmp_path)
    assert HEAVY & {name.split(".")[0] for name in ast.literal_eval(done.stderr)} == set()


@pytest.mark.parametrize("state", [None, *incident_list.STATES])
@pytest.mark.parametrize("limit", [1, 50])
def test_it_reads_what_the_full_reader_reads(file: Path, state: str | None, limit: int) -> None:
    """The same incidents, in the same order, with the same facts."""
    config = load(file)
    db = Database.open(config)
    full = Incidents(db, SystemClock(), config.oncall).list(state, limit)
    quick = quick_read.newest_incidents(config.data_dir / "state.db", state, limit)
    assert quick is not None
    assert [incident_list.facts(row) for row in quick] == [
        incident_list.facts(json.loads(dump(incident))) for incident in full
    ]
    db.close()


def test_a_table_holds_no_control_character(file: Path) -> None:
    """Names and titles are foreign text: a terminal obeys none of it."""
    done = run("incident", "list", "--config", str(file), folder=file.parent)
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 4


def test_it_makes_no_database(tmp_path: Path) -> None:
    """In a folder without one it says so, on stderr, and leaves nothing behind."""
    done = run("incident", "list", "--json", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert done.stderr.startswith(f"note: there is no state database at {tmp_path}/watchkeeper-data/state.db yet")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - hidden files count too


def test_it_writes_nothing_and_reads_beside_a_writer(file: Path) -> None:
    """A role that holds the write lock does not keep anybody waiting."""
    state = load(file).data_dir / "state.db"
    with sqlite3.connect(state, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert len(quick_read.newest_incidents(state, None, 50) or ()) == 3
        writer.execute("ROLLBACK")


@pytest.mark.parametrize("sql", ["UPDATE alembic_version SET version_num = '0001'", "DROP TABLE incidents", "damage"])
def test_what_it_does_not_know_is_left_to_the_full_reader(file: Path, sql: str) -> None:
    """A schema of another version, and a database that is damaged."""
    state = load(file).data_dir / "state.db"
    if sql == "damage":
        state.write_bytes(b"no database at all" * 1000)
    else:
        with sqlite3.connect(state) as connection:
            connection.execute(sql)
    assert quick_read.newest_incidents(state, None, 50) is None
    assert quick_read.newest_incidents(state.with_name("nowhere.db"), None, 50) is None
    assert not state.with_name("nowhere.db").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "data_dir: data\n",
        "data_dir: /var/tmp/w\n",
        "data_dir: ~/w\n",
        "data_dir: 3\n",
        "data_dir: ''\n",
        "data_dir:\n",
        "state: {url: 'sqlite:///s.db'}\n",
        "state: {url: 'sqlite:////abs/s.db'}\n",
        "state: {url: 'sqlite:///s.db?mode=ro'}\n",
        "state: {url: 'sqlite:///:memory:'}\n",
        "state: {url: 'sqlite://'}\n",
        "state: {url: postgresql://a/b}\n",
        "state: {url_env: W_URL}\n",
        "state:\n",
        "state: [a]\n",
        "- a\n",
        "data_dir: a\ndata_dir: b\n",
        "[",
    ],
)
def test_a_glance_finds_the_file_that_the_whole_configuration_means(tmp_path: Path, text: str) -> None:
    """Where it answers, it answers the same; it may decline, and never guesses."""
    path = tmp_path / "w.yaml"
    path.write_text(text)
    seen = sqlite_file(path)
    try:
        meant = load(path).state_url
    except ConfigError:
        return  # the full reader says what is wrong wherever the glance finds no database
    assert seen is None or f"sqlite:///{seen}" == meant


def test_a_glance_answers_for_plain_files(tmp_path: Path) -> None:
    """No file, a folder and a database of one's own: what most installations have."""
    path = tmp_path / "w.yaml"
    for text in ("", "data_dir: data\n", "state: {url: 'sqlite:///s.db'}\n"):
        path.write_text(text)
        assert sqlite_file(path) is not None
    assert sqlite_file(None) == Path.cwd() / "watchkeeper-data" / "state.db"


def test_a_migration_is_named_by_its_revision() -> None:
    """The newest revision is known by the files' names, so each name begins with its own."""
    for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"):
        assert f'revision = "{path.name.split("_")[0]}"' in path.read_text().replace("down_revision", "-")
    assert newest_revision() == max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def test_a_current_schema_is_opened_without_alembic(file: Path) -> None:
    """Roles and commands open a database that needs nothing, and don't pay for what could change it."""
    code = (
        "import sys; from pathlib import Path; from watchkeeper.config import load; "
        "from watchkeeper.state.database import Database; "
        f"Database.open(load(Path({str(file)!r}))); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("False\n", "")
