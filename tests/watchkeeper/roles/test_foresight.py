"""What a role will need is looked at by `validate` and at its start: one line a mistake, and no traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runbooks.runbook import BUILT_IN
from tests.front_door import Run, front_door
from watchkeeper.config import read
from watchkeeper.roles.preflight import mistakes, notes

SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  timeWindow: [{duration: 28d, isRolling: false}]
  indicatorRef: nothing
  objectives: [{target: 0.99}]
"""


def told(folder: Path, text: str, *roles: str) -> list[str]:
    """The mistakes of a file, without its name."""
    file = folder / "w.yaml"
    file.write_text(text)
    return [line.removeprefix(f"{file}:") for line in mistakes(read(file), roles or None)]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a command in the test's folder as a user would: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    return front_door(monkeypatch, capsys)


def test_objectives_are_read(tmp_path: Path) -> None:
    """A missing file, a broken one and one in another encoding: where they are named, and where they are wrong."""
    (tmp_path / "slo.yaml").write_text(SLO)
    (tmp_path / "latin.yaml").write_bytes("metadata: f\xfcr".encode("latin-1"))
    lines = told(tmp_path, "data_dir: d\nslo:\n  - nowhere.yaml\n  - slo.yaml\n  - latin.yaml\n")
    assert [line.split(": ")[:2] for line in lines] == [["5", "slo.2"], ["3", "slo.0"], ["4", "slo.1"]]
    assert f"{tmp_path}/slo.yaml:5: spec.timeWindow.0.isRolling" in lines[2]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (None, "cannot be read"),
        ({}, "holds no runbook"),
        ({"policy.yaml": "services: []\n"}, "holds no runbook"),
        ({"restart.yml": "id: a\n"}, "rename it to restart.yaml"),
        ({"a.yaml": "id: [\n"}, "a.yaml:2: is not YAML"),
        ({"a.yaml": ""}, "a.yaml:1: id: is required"),
        ({"a.yaml": "- x\n"}, "a.yaml:1: file: must hold keys and values"),
        ({"a.yaml": "id: a\ntitle: \xfc\n"}, "a.yaml:2: is not UTF-8"),
        ({"a.yaml": "id: a\nsteps: [explode]\n"}, "a.yaml:1: title: is required"),
    ],
)
def test_runbooks_are_read(tmp_path: Path, files: dict[str, str] | None, says: str) -> None:
    """A folder that is not there or holds none, and files that are no runbooks, name file, line and key."""
    if files is not None:
        (tmp_path / "books").mkdir()
        for name, text in files.items():
            (tmp_path / "books" / name).write_bytes(text.encode("latin-1"))
    lines = told(tmp_path, "runbooks:\n  dir: books\n")
    assert all(line.startswith("2: runbooks.dir: ") for line in lines)
    assert any(says in line for line in lines), lines


def test_a_broken_policy_is_told(tmp_path: Path) -> None:
    """What runbooks may touch is read with them."""
    shutil.copytree(BUILT_IN, tmp_path / "books")
    (tmp_path / "books" / "policy.yaml").write_text("services: all\n")
    assert any("policy.yaml:1: services: must be a list" in line for line in told(tmp_path, "runbooks: {dir: books}\n"))


def test_variables_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, empty, or with a line's end that came along: each names the key, and no secret is shown."""
    text = "store: {password_env: W_A}\nstate: {url_env: W_B}\ntargets:\n  shop: {token_env: W_C}\n"
    for name in ("W_A", "W_B", "W_C"):
        monkeypatch.delenv(name, raising=False)
    assert [line.split(": ")[:2] for line in told(tmp_path, text)] == [
        ["1", "store.password_env"],
        ["2", "state.url_env"],
        ["4", "targets.shop.token_env"],
    ]
    monkeypatch.setenv("W_A", "hush\n")
    monkeypatch.setenv("W_B", "mysql://me:hush@host/db")
    monkeypatch.setenv("W_C", "h\xfcsh")
    lines = told(tmp_path, text)
    assert len(lines) == 3
    assert not any("hush" in line or "h\xfcsh" in line for line in lines)
    assert mistakes(read(tmp_path / "w.yaml"), environment=False) == []


def test_real_slack_needs_its_signing_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token alone, pages would go out and no answer would ever be believed."""
    monkeypatch.setenv("W_TOKEN", "xoxb-1")
    monkeypatch.delenv("W_SIGNING", raising=False)
    (line,) = told(tmp_path, "slack:\n  token_env: W_TOKEN\n  signing_secret_env: W_SIGNING\n")
    assert line.startswith("3: slack.signing_secret_env: ")


def test_a_folder_that_can_not_be_is_told(tmp_path: Path) -> None:
    """A file where a folder should be, below a device, and a state database below a file."""
    (tmp_path / "file").write_text("")
    for path in ("file", "file/deeper", "/dev/null/x"):
        assert told(tmp_path, f"data_dir: {path}\n")[0].startswith("1: data_dir: ")
    for path in ("file/state.db", "."):
        assert told(tmp_path, f"state: {{url: 'sqlite:///{path}'}}\n")[0].startswith("1: state.url: ")


def test_a_role_is_kept_from_starting_by_its_own_needs_only(tmp_path: Path) -> None:
    """Where the dashboard can't listen, people are paged all the same."""
    text = "web: {host: 0.0.0.0}\nslo: [nowhere.yaml]\n"
    assert told(tmp_path, text, "ingest") == []
    assert [line.split(": ")[1] for line in told(tmp_path, text, "watch")] == ["slo.0"]
    assert [line.split(": ")[1] for line in told(tmp_path, text, "web")] == ["web.host"]


def test_what_is_perhaps_not_meant_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is named and not set, and a rota with a gap, work; whoever validates is told."""
    monkeypatch.delenv("W_TOKEN", raising=False)
    file = tmp_path / "w.yaml"
    file.write_text(
        "slack: {token_env: W_TOKEN}\noncall:\n  people: [{id: ana, name: Ana, addresses: {slack: U0ANA}}]\n"
        "  schedules: [{id: primary, layers: [{people: [ana], start: 2150-01-01}]}]\n"
    )
    found = read(file)
    assert mistakes(found) == []
    assert [line.removeprefix(f"{file}:").split(": ")[:2] for line in notes(found)] == [
        ["1", "slack.token_env"],
        ["4", "oncall.schedules.0"],
    ]


@pytest.mark.parametrize("words", [["validate", "w.yaml"], ["validate", "--config", "w.yaml"], ["up", "-c", "w.yaml"]])
def test_a_command_says_it_and_ends(tmp_path: Path, command: Run, words: list[str]) -> None:
    """Exit status 2, a line a mistake on stderr, and nothing was started or written."""
    (tmp_path / "w.yaml").write_text("slo: [nowhere.yaml]\nrunbooks: {dir: nowhere}\n")
    status, _, err = command(*words)
    assert status == 2
    assert "w.yaml:1: slo.0: " in err
    assert "w.yaml:2: runbooks.dir: " in err
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == ["w.yaml"]  # noqa: PTH208 - hidden files count too


@pytest.mark.slow
def test_a_role_refuses_to_start_on_what_it_needs(tmp_path: Path) -> None:
    """`watchkeeper watch` by itself says the same as `validate`."""
    (tmp_path / "w.yaml").write_text("slo: [nowhere.yaml]\n")
    words = [sys.executable, "-m", "watchkeeper.cli.main", "watch", "-c", "w.yaml"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert (done.returncode, "w.yaml:1: slo.0: " in done.stderr) == (2, True)


def test_a_right_file_is_valid(tmp_path: Path, command: Run) -> None:
    """Exit status 0, one line, and nothing is written beside it."""
    (tmp_path / "w.yaml").write_text("web: {port: 8051}\n")
    assert command("validate", "w.yaml") == (0, "w.yaml: valid\n", "")
    assert os.listdir(tmp_path) == ["w.yaml"]  # noqa: PTH208 - hidden files count too


@pytest.mark.parametrize("address", ["ana@example.org", "<@U0ANA>"])
def test_an_address_that_its_channel_cannot_reach_is_refused(tmp_path: Path, address: str) -> None:
    """As the channel's own package knows it: with file, line and key."""
    text = f"oncall:\n  people:\n    - {{id: oncall, name: Ana, addresses: {{slack: '{address}'}}}}\n"
    (line,) = told(tmp_path, text, "watch")
    assert line.startswith("3: oncall.people.0.addresses.slack: must be a member's id")


def test_a_file_whose_channels_are_all_missing_is_refused(tmp_path: Path) -> None:
    """Nobody would ever be paged."""
    text = "channels: {pigeon: {}}\noncall:\n  people: [{id: oncall, name: Ana, addresses: {pigeon: loft 3}}]\n"
    assert told(tmp_path, text, "watch")[0].startswith("1: channels: none is installed, so nobody could be paged")


def test_a_channel_that_is_not_installed_is_a_note(tmp_path: Path) -> None:
    """It stops nobody: people are paged by the others."""
    file = tmp_path / "w.yaml"
    file.write_text("channels:\n  slack:\n  pigeon: {loft: 3}\n")
    found = read(file)
    assert mistakes(found) == []
    (note,) = [line for line in notes(found) if "channels" in line]
    assert note.startswith(f"{file}:3: channels.pigeon: no channel 'pigeon' is installed; there are: ")
    assert "slack" in note
