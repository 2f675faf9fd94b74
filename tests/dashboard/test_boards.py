"""Boards as files: what is read, what is refused and how it is said, and changes that keep what a human wrote."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.boards.addresses import panel_of, panel_view
from dashboard.boards.board import KEYS, WIDTHS, Board, Panel, read_board
from dashboard.boards.changes import Boards
from dashboard.boards.folder import BoardFolder
from dashboard.boards.text_edits import new_text, with_panel, with_panel_earlier, without_panel
from dashboard.urls import View, parse
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import ConfigError, Conflict, NotFound
from watchkeeper.state.audit import audit_trail, verify_audit
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

ANA = Actor(name="Ana Sousa", via="dashboard")
PATH = Path("checkout.yaml")
FILE = """\
# What we look at when checkout is slow.
title: Checkout
description: All of one product
range: 3h

panels:
  # the users' side
  - kind: metrics
    title: Latency
    metric: http.server.request.duration
    where: http.route=/cart*
    by: http.route
    show: p95   # not the mean
  - kind: logs
    query: service:checkout severity>=warn
    width: full
  - {kind: traces, service: checkout, min: 250}
  - kind: slo
    objective: checkout-ok

# kept
"""
METRIC = Panel(kind="metrics", title="Latency of checkout", choices={"metric": "http.server.request.duration"})


@pytest.fixture
def boards(tmp_path: Path, db: Database, clock: FrozenClock) -> Boards:
    return Boards(BoardFolder(tmp_path / "boards"), db, clock)


def test_a_file_is_read_as_it_is_written() -> None:
    """Titles that are left out come from the query; a number is text."""
    board = read_board(PATH, FILE)
    assert (board.title, board.description, board.range) == ("Checkout", "All of one product", "3h")
    assert [panel.kind for panel in board.panels] == ["metrics", "logs", "traces", "slo"]
    assert board.panels[0].choices["show"] == "p95"
    assert board.panels[1] == Panel(
        kind="logs",
        title="service:checkout severity>=warn",
        width="full",
        choices={"query": "service:checkout severity>=warn"},
    )
    assert board.panels[2].choices == {"service": "checkout", "min": "250"}


@pytest.mark.parametrize(
    ("text", "line", "key", "teaches"),
    [
        ("panels: []\n", 1, "file", "`title: Checkout`"),
        ("title: A\nrnge: 1h\n", 2, "rnge", "did you mean range?"),
        ("title: A\nrange: 2h\n", 2, "range", "one of 5m, 15m"),
        ("title: A\npanels: yes\n", 2, "panels", "a list"),
        ("title: A\npanels:\n  - 1\n", 3, "panels.0", "keys and values"),
        ("title: A\npanels:\n  - kind: chart\n", 3, "panels.0.kind", "one of metrics, logs"),
        ("title: A\npanels:\n  - title: x\n", 3, "panels.0", "needs a `kind`"),
        ("title: A\npanels:\n  - kind: metrics\n", 3, "panels.0", "needs `metric`"),
        ("title: A\npanels:\n  - kind: logs\n    qery: x\n", 4, "panels.0.qery", "did you mean query?"),
        ("title: A\npanels:\n  - kind: logs\n    query: (a\n", 4, "panels.0.query", "at character"),
        ("title: A\npanels:\n  - kind: logs\n    least: info\n", 4, "panels.0.least", "warn, error"),
        ("title: A\npanels:\n  - kind: logs\n    query: true\n", 4, "panels.0.query", "put it in quotes"),
        ("title: A\npanels:\n  - kind: logs\n    width: wide\n", 4, "panels.0.width", "third, half, full"),
        ("title: A\npanels:\n  - kind: traces\n    min: soon\n", 4, "panels.0.min", "250ms"),
        ("title: A\npanels:\n  - kind: traces\n    attr: '=x'\n", 4, "panels.0.attr", "key=value"),
        ("title: A\npanels:\n  - kind: metrics\n    metric: m\n    show: p42\n", 5, "panels.0.show", "p95"),
        ("title: A\npanels:\n  - kind: metrics\n    metric: m\n    where: '=='\n", 5, "panels.0.where", "label=value"),
        ("title: A\npanels:\n  - kind: metrics\n    metric: m\n    by-b: x\n", 5, "panels.0.by-b", "metric-b"),
        ("title: A\npanels: [\n", 3, "", "is not YAML"),
        ("", 1, "file", "is empty"),
    ],
)
def test_a_mistake_names_file_line_and_key_and_says_what_to_write(text: str, line: int, key: str, teaches: str) -> None:
    """A panel that quietly showed something else would be believed."""
    with pytest.raises(ConfigError) as refused:
        read_board(PATH, text)
    first = refused.value.message.splitlines()[0]
    assert first.startswith(f"checkout.yaml:{line}: {key}")
    assert teaches in first


def test_all_mistakes_of_a_file_are_said_at_once() -> None:
    """One a line."""
    with pytest.raises(ConfigError) as refused:
        read_board(PATH, "title: A\nx: 1\npanels:\n  - kind: logs\n    y: 1\n  - kind: slo\n")
    assert len(refused.value.message.splitlines()) == 3


@pytest.mark.parametrize(
    "address",
    [
        "/explore?metric=http.server.request.duration&show=p95&by=service&metric-b=queue.length",
        "/logs?service=cart&query=timeout -healthz&least=warn",
        "/traces?service=cart&op=GET /pay&min=250ms&q=bank&status=failed&sort=newest",
        "/slos/checkout%2Fok",
    ],
)
def test_an_address_becomes_a_panel_and_the_panel_the_same_address(address: str) -> None:
    """Whatever a page shows is what the board shows, over the board's own time range."""
    path, _, search = address.partition("?")
    view = parse(path, search)
    panel = panel_of(view)
    again = read_board(PATH, new_text(Board(title="A", panels=(panel,)))).panels[0]
    assert again == panel
    shown = panel_view(again, View(range="3h"))
    assert parse(*shown.address().split("?", 1)) == parse(path, f"{search}&range=3h")


def test_a_page_that_asks_nothing_is_no_panel() -> None:
    """It says what to do first."""
    with pytest.raises(ConfigError, match="choose one as query A"):
        panel_of(parse("/explore", ""))
    with pytest.raises(ConfigError, match="cannot stand on a board"):
        panel_of(parse("/incidents", ""))


def test_a_change_from_the_page_keeps_comments_and_what_it_is_not_about() -> None:
    """The file stays its author's."""
    added = with_panel(PATH, FILE, METRIC)
    assert read_board(PATH, added).panels[-1] == METRIC
    assert (
        added.replace(added[added.index("  - kind: metrics\n    title: Latency of") : added.index("\n# kept")], "")
        == FILE
    )
    moved = with_panel_earlier(PATH, FILE, 1)
    assert [panel.kind for panel in read_board(PATH, moved).panels] == ["logs", "metrics", "traces", "slo"]
    assert "# not the mean" in moved
    left = without_panel(PATH, FILE, 3)
    assert [panel.kind for panel in read_board(PATH, left).panels] == ["metrics", "logs", "traces"]
    assert left.endswith("\n# kept\n")


def test_the_last_panel_goes_and_a_first_one_comes() -> None:
    """An empty list is written out, and filled again."""
    text = new_text(Board(title="A", panels=(METRIC,)))
    none = without_panel(PATH, text, 0)
    assert read_board(PATH, none).panels == ()
    assert read_board(PATH, with_panel(PATH, none, METRIC)).panels == (METRIC,)
    assert read_board(PATH, with_panel(PATH, "title: A\n", METRIC)).panels == (METRIC,)


@pytest.mark.parametrize(
    "text", ["title: A\npanels: [{kind: logs}, {kind: slo, objective: x}]\n", "{title: A, panels: []}\n"]
)
def test_a_file_that_is_written_in_another_way_is_left_to_its_author(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigError, match="by hand"):
        with_panel(PATH, text, METRIC)


PANELS = st.builds(
    Panel,
    kind=st.just("logs"),
    title=st.text("abc: #'\"{}[]-\\é漢\t&*!|>%@`", min_size=1, max_size=30).filter(lambda t: t == t.strip() and t),
    width=st.sampled_from(WIDTHS),
    choices=st.fixed_dictionaries({"query": st.sampled_from(["timeout", "severity>=warn", '"a: b # c"', "-x"])}),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PANELS, min_size=1, max_size=5), st.data())
def test_any_panels_survive_being_written_moved_and_removed(panels: list[Panel], data: st.DataObject) -> None:
    """Whatever their titles hold."""
    text = new_text(Board(title="A", panels=tuple(panels)))
    place = data.draw(st.integers(0, len(panels) - 1))
    if place:
        text = with_panel_earlier(PATH, text, place)
        panels[place - 1], panels[place] = panels[place], panels[place - 1]
    assert read_board(PATH, text).panels == tuple(panels)
    del panels[place]
    assert read_board(PATH, without_panel(PATH, text, place)).panels == tuple(panels)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["logs", "slo"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["title", "panels", "kind", "range", *KEYS["metrics"], "x"]) | st.integers(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_any_tree_is_a_board_or_is_refused_with_a_place(tree: object) -> None:
    """Never a traceback."""
    import yaml

    refused = ""
    try:
        read_board(PATH, yaml.safe_dump(tree))
    except ConfigError as error:
        refused = error.message
    assert all(line.startswith("checkout.yaml:") for line in refused.splitlines())


def test_a_board_is_made_filled_reordered_and_emptied_with_an_audit_line_each(boards: Boards, db: Database) -> None:
    """The trail says who did what, and verifies."""
    name = boards.create(Board(title="Checkout & Payments", panels=(METRIC,)), ANA)
    assert name == "checkout-payments"
    logs = Panel(kind="logs", title="Errors", choices={"least": "error"})
    boards.add(name, logs, ANA)
    assert boards.move_earlier(name, 1, _digest(boards, name), ANA) == "Errors"
    assert _panels(boards, name) == (logs, METRIC)
    boards.remove(name, 0, _digest(boards, name), ANA)
    assert _panels(boards, name) == (METRIC,)
    trail = [(entry.action, entry.actor.name, entry.subject) for entry in audit_trail(db)][::-1]
    assert trail == [
        (f"board.{verb}", "Ana Sousa", "checkout-payments") for verb in ("create", "add", "move", "remove")
    ]
    assert "least: error" in audit_trail(db)[0].detail
    assert verify_audit(db).entries == 4


def test_a_double_click_adds_one_panel(boards: Boards, db: Database) -> None:
    """The second is refused, and leaves no line."""
    name = boards.create(Board(title="A"), ANA)
    boards.add(name, METRIC, ANA)
    with pytest.raises(Conflict, match="already"):
        boards.add(name, METRIC, ANA)
    assert _panels(boards, name) == (METRIC,)
    assert len(audit_trail(db)) == 2


def test_a_change_for_a_file_that_a_human_has_changed_is_refused(boards: Boards, db: Database) -> None:
    """A press on what was drawn before must not take away another panel; nothing is written, nothing recorded."""
    name = boards.create(Board(title="A", panels=(METRIC,)), ANA)
    seen = _digest(boards, name)
    path = boards.folder.path / f"{name}.yaml"
    path.write_text(f"# by hand\n{path.read_text()}")
    with pytest.raises(Conflict, match="changed meanwhile"):
        boards.remove(name, 0, seen, ANA)
    assert path.read_text().startswith("# by hand")
    assert len(audit_trail(db)) == 1


def test_an_edit_by_hand_during_a_change_is_not_lost(boards: Boards, db: Database) -> None:
    """Between reading and writing, too."""
    name = boards.create(Board(title="A"), ANA)
    path = boards.folder.path / f"{name}.yaml"

    def interrupted(_path: Path, text: str) -> str:
        path.write_text("title: By hand\n")
        return with_panel(PATH, text, METRIC)

    with pytest.raises(Conflict, match="changed meanwhile"):
        boards.folder.change(name, "", interrupted, lambda: None)
    assert path.read_text() == "title: By hand\n"


def test_a_file_edited_by_hand_is_seen_at_once_and_a_broken_one_says_why(boards: Boards) -> None:
    """Those that cannot be read come last."""
    boards.create(Board(title="Zoo"), ANA)
    folder = boards.folder.path
    (folder / "broken.yaml").write_text("titel: x\n")
    (folder / "Wrong Name.yaml").write_text("title: x\n")
    (folder / "latin.yaml").write_bytes(b"title: caf\xe9\n")
    (folder / "dir.yaml").mkdir()
    files = boards.folder.files()
    assert [file.name for file in files] == ["zoo", "Wrong Name", "broken", "dir", "latin"]
    reasons = {file.name: file.reason for file in files}
    assert "did you mean title?" in reasons["broken"]
    assert "small letters" in reasons["Wrong Name"]
    assert "latin.yaml:1: is not UTF-8" in reasons["latin"]
    assert "cannot be read" in reasons["dir"]
    (folder / "zoo.yaml").write_text("title: Aquarium\n")
    assert boards.folder.files()[0].board == Board(title="Aquarium")
    (folder / "zoo.yaml").unlink()
    assert boards.folder.get("zoo") is None


@pytest.mark.parametrize("name", ["../etc/passwd", "", ".hidden", "a/b", "A", "x" * 80, "a\x00b"])
def test_a_name_leads_nowhere_but_into_the_folder(boards: Boards, name: str) -> None:
    """It comes from an address."""
    assert boards.folder.get(name) is None
    with pytest.raises(NotFound):
        boards.add(name, METRIC, ANA)
    if name:
        with pytest.raises(ConfigError):
            boards.create(Board(title="A"), ANA, name)


def test_two_writers_lose_nothing(boards: Boards, tmp_path: Path, clock: FrozenClock) -> None:
    """Eight threads add a panel each at once, half of them with another state database, whose lock is not the same."""
    name = boards.create(Board(title="A"), ANA)
    database = Database.open(f"sqlite:///{tmp_path / 'other.db'}")
    other = Boards(BoardFolder(boards.folder.path), database, clock)
    panels = [Panel(kind="text", title=f"Note {number}", choices={"text": "x"}) for number in range(8)]
    threads = [
        threading.Thread(target=(boards, other)[number % 2].add, args=(name, panel, ANA))
        for number, panel in enumerate(panels)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    assert sorted(panel.title for panel in _panels(boards, name)) == [panel.title for panel in panels]


KILLED = """
import sys
from pathlib import Path
from dashboard.boards.board import Panel
from dashboard.boards.changes import Boards
from dashboard.boards.folder import BoardFolder
from watchkeeper.clock import SystemClock
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor
boards = Boards(BoardFolder(Path(sys.argv[1])), Database.open(sys.argv[2]), SystemClock())
print("ready", flush=True)
for number in range(24):
    panel = Panel(kind="text", title=f"Note {number}", choices={"text": "x" * 3000})
    boards.add("a", panel, Actor(name="a", via="cli"))
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 3, 6])
def test_a_kill_leaves_the_file_whole(tmp_path: Path, boards: Boards, after: int) -> None:
    """Every panel that was reported is there, the file can be read, and the next change works."""
    boards.create(Board(title="A"), ANA)
    url = f"sqlite:///{tmp_path / 'state.db'}"
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(boards.folder.path), url], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    reported = [writer.stdout.readline().strip() for _ in range(after + 1)]
    time.sleep(0.003 * after)
    os.kill(writer.pid, signal.SIGKILL)
    reported += writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    titles = [panel.title for panel in _panels(boards, "a")]
    assert titles == [f"Note {number}" for number in range(len(titles))]
    assert len(titles) >= len(reported) - 1
    boards.add("a", METRIC, ANA)
    assert [path.name for path in boards.folder.path.iterdir()] == ["a.yaml"]


def _panels(boards: Boards, name: str) -> tuple[Panel, ...]:
    file = boards.folder.get(name)
    assert file is not None
    assert file.board is not None
    return file.board.panels


def _digest(boards: Boards, name: str) -> str:
    file = boards.folder.get(name)
    assert file is not None
    return file.digest
