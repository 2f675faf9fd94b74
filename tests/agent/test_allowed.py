"""The agent's file is read strictly: each mistake is one line with file, line, key, and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.allowed import HoursSection, read_allowed
from tests.bare_host import BareService
from tests.running_agent import TOKEN, RunningAgent, allowed
from watchkeeper.errors import ConfigError

HEAD = "name: host-7\ntokens: [{name: platform, token_file: token}]\n"
WATCHKEEPER = [sys.executable, "-m", "watchkeeper.cli.main", "agent"]


def write(folder: Path, text: str) -> Path:
    (folder / "token").write_text(TOKEN)
    path = folder / "agent.yaml"
    path.write_text(text)
    return path


TELEMETRY = HEAD + "telemetry:\n  to: http://10.0.0.1:4318\n"
MISTAKES = {
    "telemetry for nobody": (HEAD + "telemetry: {}", "agent.yaml:3: telemetry.to: is required"),
    "telemetry to no server": (
        HEAD + "telemetry: {to: watchkeeper}",
        "agent.yaml:3: telemetry.to: must begin with http",
    ),
    "telemetry to itself": (HEAD + "telemetry: {to: 'http://localhost:4318'}", "`to` is the agent's own port 4318"),
    "telemetry on one port": (
        TELEMETRY + "  receive: {port: 9411}",
        "agent.yaml:5: telemetry.receive: port 9411 is the",
    ),
    "telemetry without its token": (TELEMETRY + "  token_env: NO_SUCH", "agent.yaml:5: telemetry.token_env: the env"),
    "telemetry with an empty token": (
        TELEMETRY + "  token_file: empty",
        "telemetry.token_file: the file {folder}/empty",
    ),
    "telemetry with two tokens": (TELEMETRY + "  token_env: A\n  token_file: B", "needs one of `token_env` and"),
    "half a certificate": (TELEMETRY + "  tls: {certificate: a.pem}", "telemetry.tls: needs `certificate` and `key`"),
    "trust without TLS": (TELEMETRY + "  tls: {ca: a.pem}", "`to` begins with http://, and `tls` needs https://"),
    "an unknown key of telemetry": (TELEMETRY + "  log: {mb: 5}", "agent.yaml:5: telemetry.log.mb: no such key"),
    "telemetry all the time": (TELEMETRY + "  interval_seconds: 0", "agent.yaml:5: telemetry.interval_seconds: "),
    "a log of nothing": (TELEMETRY + "  log: {mib: 0}", "agent.yaml:5: telemetry.log.mib: "),
    "a log for ever": (TELEMETRY + "  log: {hours: .inf}", "agent.yaml:5: telemetry.log.hours: "),
    "a share over one": (TELEMETRY + "  alerts: {disk_used: 97}", "agent.yaml:5: telemetry.alerts.disk_used: "),
    "nothing": ("", "agent.yaml:1: name: is required"),
    "a list": ("- a", "agent.yaml:1: the file must hold keys and values; `watchkeeper agent init` writes one"),
    "an unknown key": (HEAD + "servces: {}", "agent.yaml:3: servces: no such key"),
    "no token": ("name: a\ntokens: []", "agent.yaml:2: tokens: must not be empty"),
    "two kinds of token": (
        "name: a\ntokens: [{name: p, token_env: A, token_file: b}]",
        "agent.yaml:2: tokens.0: needs one of `sha256`, `token_env` and `token_file`",
    ),
    "a token that is not set": (
        "name: a\ntokens: [{name: p, token_env: NO_SUCH_VARIABLE}]",
        "agent.yaml:2: tokens.0: the environment variable NO_SUCH_VARIABLE is not set or empty",
    ),
    "a short token": ("name: a\ntokens: [{name: p, token_file: short}]", "the file {folder}/short holds fewer than 20"),
    "one name for two": (
        "name: a\ntokens: [{name: p, token_file: token}, {name: p, token_file: token}]",
        "tokens.1.name: another token has this name",
    ),
    "endless": (HEAD + "bounds: {seconds: .inf}", "agent.yaml:3: bounds.seconds: "),
    "all but none": (HEAD + "bounds: {share: 0}", "agent.yaml:3: bounds.share: "),
    "a night": (HEAD + 'bounds: {hours: {start: "22:00", end: "06:00"}}', "bounds.hours: start must be before end"),
    "a zone": (HEAD + "bounds: {hours: {zone: Europe/Berln}}", "bounds.hours.zone: is no time zone"),
    "a service's name": (
        HEAD + "services: {a/b: {find: {process: {port: 80}}}}",
        "services.a/b: a service's name",
    ),
    "no finder": (HEAD + "services: {a: {find: {}}}", "services.a.find: needs one way to find it: control_url, docker"),
    "two finders": (
        HEAD + "services: {a: {find: {process: {port: 80}, docker: {container: a}}}}",
        "services.a.find: needs one way to find it",
    ),
    "an unknown finder": (HEAD + "services: {a: {find: {upstart: {}}}}", "services.a.find.upstart: there is no finder"),
    "a setting": (
        HEAD + "services:\n  a:\n    find:\n      process:\n        prot: 80\n",
        "agent.yaml:7: services.a.find.process.prot: no such key; there are pattern, port",
    ),
    "a pattern": (HEAD + "services: {a: {find: {process: {pattern: '('}}}}", "pattern: is no regular expression"),
    "a port": (HEAD + "services: {a: {find: {process: {port: 70000}}}}", "port: must be a port from 1 to 65535"),
    "a command as text": (
        HEAD + "services: {a: {find: {process: {port: 80, start: run me}}}}",
        "start: must be a list of texts",
    ),
    "an option as a unit": (HEAD + "services: {a: {find: {systemd: {unit: --now}}}}", "unit: must be a unit's name"),
    "a verb": (
        HEAD + "services: {a: {find: {process: {port: 80}}, verbs: [restart]}}",
        "services.a.verbs.0: process can't restart; there are resume, stop",
    ),
    "a fault": (
        HEAD + "services: {a: {find: {process: {port: 80}}, faults: [bang]}}",
        "a.faults.0: no such fault",
    ),
    "a proxy to itself": (
        HEAD + "services: {a: {find: {process: {port: 80}}, proxy: {listen: 80, to: 80}}}",
        "services.a.proxy.to: the proxy would lead to itself",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_one_line(what: str, tmp_path: Path) -> None:
    text, words = MISTAKES[what]
    (tmp_path / "short").write_text("secret")
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read_allowed(path)
    assert words.format(folder=tmp_path) in refused.value.message
    assert all(line.startswith(f"{path}:") for line in refused.value.message.splitlines())
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-03-02T08:59:59+01:00", False),
        ("2026-03-02T09:00:00+01:00", True),
        ("2026-03-02T15:59:59+01:00", True),
        ("2026-03-02T16:00:00+01:00", False),
        ("2026-03-01T12:00:00+01:00", False),  # a Sunday
        ("2026-03-30T07:30:00+00:00", True),  # 09:30 there: the clocks were put forward on the day before
    ],
)
def test_hours_go_by_the_clock_of_their_zone(at: str, is_open: bool) -> None:
    hours = HoursSection(zone="Europe/Berlin", days=("mon",), start="09:00", end="16:00")
    assert hours.hold(datetime.fromisoformat(at).astimezone(ZoneInfo("Asia/Tokyo"))) is is_open


@pytest.mark.parametrize("words", [[], ["check"]])
def test_without_a_file_it_says_how_to_get_one(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run([*WATCHKEEPER, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode
    assert "`watchkeeper agent init --config agent.yaml` writes one" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_first_file_allows_nothing_and_its_token_is_shown_once(tmp_path: Path) -> None:
    """It is the owner's alone, it can be checked as it is, and it is never overwritten."""
    path = tmp_path / "agent.yaml"
    made = subprocess.run([*WATCHKEEPER, "init", "--config", path], capture_output=True, text=True, check=True)
    token = made.stdout.split("Token (shown once): ")[1].split()[0]
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_allowed(path).file.services == {}
    checked = subprocess.run([*WATCHKEEPER, "check", "--config", path], capture_output=True, text=True, check=True)
    assert "The file lists no service, so nothing may be touched." in checked.stdout
    again = subprocess.run([*WATCHKEEPER, "init", "--config", path], capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (
        1,
        f"watchkeeper: {path} exists already; move it away, or name another with --config\n",
    )


def test_check_prints_what_is_found_and_touches_nothing(tmp_path: Path) -> None:
    """With no agent, and while one runs."""
    service = BareService()
    agent = RunningAgent(tmp_path, allowed(service))
    command = [*WATCHKEEPER, "check", "--config", agent.path, "--json"]
    seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert "does not run" in seen["running"]
    assert seen["services"][0]["state"] == "exited"
    assert seen["services"][0]["lacks"] == {"hang": "it does not run", "kill": "it does not run"}
    assert not agent.root.exists()
    try:
        service.start()
        agent.start()
        seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert "the agent runs" in seen["running"]
        (row,) = seen["services"]
        assert (row["state"], row["pid"], row["lacks"]) == ("running", service.instance().pid, {})
    finally:
        agent.stop()
        service.end()


def test_the_process_that_stays_is_lean() -> None:
    """Neither the command line's libraries nor a store, nor the ones of a single fault; and a keeper has less still."""
    loaded = "import sys, {}; print(*sys.modules)"
    agent = "agent.__main__, agent.registry; agent.registry.host_faults(); agent.finder.finder_registry()"
    modules = {}
    for name, what in (("agent", agent), ("keeper", "agent.keeper, agent.faults.kill, agent.finders.process")):
        command = [sys.executable, "-I", "-c", loaded.format(what)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
        modules[name] = set(done.stdout.split())
    assert not modules["agent"] & {"typer", "rich", "structlog", "numpy", "pandas", "sqlalchemy", "psycopg", "chdb"}
    assert not modules["keeper"] & {"aiohttp", "asyncio", "pydantic", "yaml", "psutil", "importlib.metadata"}
