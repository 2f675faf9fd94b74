"""`watchkeeper init`: a first file that is right, private and never written over another."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from alerting.commands.first_config import system_zone
from alerting.oncall.schedule import who_has_it
from collectors.webhooks.alertmanager import PATH as ALERTMANAGER
from tests.front_door import Run, front_door
from watchkeeper.config import load, read
from watchkeeper.roles.preflight import mistakes, notes


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a command through the front door, with what is typed: exit status, stdout, stderr."""
    monkeypatch.delenv("WATCHKEEPER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    command = front_door(monkeypatch, capsys)
    return lambda *words, typed="": command(*words, typed=typed)


def test_the_defaults_are_a_right_file(run: Run, tmp_path: Path) -> None:
    """Nothing is asked; the file is valid without a note, somebody is on call, and the data lies where it did."""
    status, out, err = run("init", "--yes")
    assert (status, err) == (0, "")
    found = read(tmp_path / "watchkeeper.yaml")
    assert (mistakes(found), notes(found)) == ([], [])
    assert found.config.data_dir == load(None).data_dir
    assert found.config.ingest == load(None).ingest
    who, source = who_has_it(found.config.oncall, "primary", datetime.now(UTC), ())
    assert (who, source) == (found.config.oncall.people[0], "rotation")
    assert "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n" in out
    assert "watchkeeper up --config watchkeeper.yaml" in out


def test_it_is_its_owners_alone(run: Run, tmp_path: Path) -> None:
    """It may hold digests of tokens; no draft stays beside it."""
    run("init", "--yes")
    assert stat.S_IMODE((tmp_path / "watchkeeper.yaml").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["watchkeeper.yaml"]  # noqa: PTH208 - hidden drafts count too


@pytest.mark.parametrize("kind", ["file", "folder", "link to nowhere"])
def test_what_is_there_stays(run: Run, tmp_path: Path, kind: str) -> None:
    """A file, a folder, and a link that leads nowhere: none is written over without --force."""
    path = tmp_path / "w.yaml"
    if kind == "file":
        path.write_text("mine\n")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    status, _, err = run("init", "--yes", "--config", "w.yaml")
    assert (status, "--force" in err) == (2, True)
    assert os.listdir(tmp_path) == ["w.yaml"]  # noqa: PTH208 - hidden drafts count too
    assert kind != "file" or path.read_text() == "mine\n"


def test_force_keeps_the_old_file(run: Run, tmp_path: Path) -> None:
    """Whoever forces it can still go back."""
    (tmp_path / "w.yaml").write_text("mine\n")
    assert run("init", "--yes", "--force", "-c", "w.yaml")[0] == 0
    assert (tmp_path / "w.yaml.old").read_text() == "mine\n"
    assert load(tmp_path / "w.yaml").oncall.people


def test_it_asks_for_what_no_option_tells(run: Run, tmp_path: Path) -> None:
    """Names, their Slack ids, the zone, the folder and the channel; each has a default."""
    typed = "Ana Souza, Ben Okoye\nU012AB3CD\nnone\nEurope/Berlin\n\nsre\n"
    assert run("init", "-c", "w.yaml", typed=typed)[0] == 0
    config = load(tmp_path / "w.yaml")
    assert [(one.id, one.name, one.address("slack")) for one in config.oncall.people] == [
        ("ana-souza", "Ana Souza", "U012AB3CD"),
        ("ben-okoye", "Ben Okoye", "U0BENOKOYE"),
    ]
    assert config.oncall.schedules[0].timezone == "Europe/Berlin"
    assert config.oncall.escalation[-1].notify == ("ben-okoye",)
    assert (config.slack.channel, config.data_dir) == ("sre", tmp_path / "watchkeeper-data")


def test_nobody_answers_nothing_is_written(run: Run, tmp_path: Path) -> None:
    """In a script without --yes, the error says what to do."""
    status, _, err = run("init")
    assert (status, "--yes" in err) == (2, True)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - hidden drafts count too


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--timezone", "IST"], "IST"),
        (["--timezone", " "], "time zone"),
        (["--person", "Ana=ana@example.org"], "oncall.people.0.addresses.slack"),
        (["--person", "Ana", "--person", "Ana"], "oncall.people.1.id"),
        (["--channel", "two words"], "slack.channel"),
        (["--web-port", "4318"], "web.port"),
        (["--listen", "127.0.0.256"], "ingest.host"),
        (["--config", "/dev/null/w.yaml"], "cannot be written"),
    ],
)
def test_a_wrong_answer_writes_nothing(run: Run, tmp_path: Path, words: list[str], says: str) -> None:
    """The key that is wrong is named, and no file is left to trip over."""
    status, _, err = run("init", "--yes", *words)
    assert (status, says in err, "Traceback" in err) == (2, True, False), err
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - hidden drafts count too


@pytest.mark.parametrize("name", ['Zoë "Z" Müller', "O'Brien: {x}", "# ana", "no", "李雷", "- a", "a\\b"])
def test_any_name_is_a_name(run: Run, tmp_path: Path, name: str) -> None:
    """Quotes, colons, signs of YAML and other scripts come back as they were typed."""
    assert run("init", "--yes", "--person", name)[0] == 0
    assert load(tmp_path / "watchkeeper.yaml").oncall.people[0].name == name


def test_listening_beyond_this_machine_makes_a_token(run: Run, tmp_path: Path) -> None:
    """The exporters' header is printed once, and the file holds its digest only."""
    _, out, _ = run("init", "--yes", "--listen", "0.0.0.0")
    found = re.search(r"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20(\S+)", out)
    assert found
    text = (tmp_path / "watchkeeper.yaml").read_text()
    assert found[1] not in text
    assert hashlib.sha256(found[1].encode()).hexdigest() in text
    config = load(tmp_path / "watchkeeper.yaml")
    config.require_safe_binding("ingest")
    assert config.token_allows(found[1], "ingest")
    assert not config.token_allows(found[1], "commands")


def test_what_others_need_is_printed_as_they_read_it(run: Run, tmp_path: Path) -> None:
    """A Collector's and Alertmanager's YAML, with the address and the token; Prometheus targets go into the file."""
    _, out, _ = run("init", "--yes", "--listen", "0.0.0.0", "--scrape", "127.0.0.1:9100", "--scrape", "db:9187")
    blocks = re.findall(r"^(?:  .*\n)+", out, re.MULTILINE)
    collector, alertmanager = (yaml.safe_load(textwrap.dedent(block)) for block in blocks[1:3])
    exporter = collector["exporters"]["otlphttp/watchkeeper"]
    assert exporter["endpoint"] == "http://THIS-MACHINE:4318"
    pipelines = collector["service"]["pipelines"]
    assert pipelines == {key: {"exporters": ["otlphttp/watchkeeper"]} for key in ("traces", "metrics", "logs")}
    (hook,) = alertmanager["receivers"][0]["webhook_configs"]
    assert hook["url"] == f"http://THIS-MACHINE:4318{ALERTMANAGER}"
    config = load(tmp_path / "watchkeeper.yaml")
    given = {exporter["headers"]["authorization"], f"Bearer {hook['http_config']['authorization']['credentials']}"}
    assert len(given) == 1
    assert config.token_allows(given.pop().removeprefix("Bearer "), "ingest")
    assert config.ingest.scrape[0].targets == ("127.0.0.1:9100", "db:9187")


@pytest.mark.parametrize("named", ["IST", "", "Mars/Olympus", ":Europe/Berlin", "/etc/passwd"])
def test_this_machines_zone_is_one_that_resolves(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """Whatever TZ holds."""
    monkeypatch.setenv("TZ", named)
    assert system_zone() == "Europe/Berlin" if "Berlin" in named else system_zone() not in ("", named)
