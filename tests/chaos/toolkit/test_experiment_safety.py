"""Experiments end when they must, put back what they broke, and do not run beside each other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting.incidents.commands import Incidents
from chaos.record import Records
from chaos.running import own_note
from tests.running_shop import RunningShop
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.config import OnCallConfig, load
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Finding


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where experiments run that wait for a minute, and what they leave: `broken`, then `put-back`."""

    folder: Path

    def file(self, name: str = "long", **more: Any) -> Path:
        def touch(mark: str) -> dict[str, Any]:
            return {"type": "process", "path": "touch", "arguments": [str(self.folder / mark)]}

        wait = {"type": "process", "path": "sleep", "arguments": ["60"]}
        content = {
            "title": f"A {name} one", "description": "Waits for a minute.",
            "method": [{"type": "action", "name": "break", "provider": touch("broken")},
                       {"type": "action", "name": "in the background", "background": True, "provider": wait},
                       {"type": "action", "name": "wait", "provider": wait}],
            "rollbacks": [{"type": "action", "name": "put back", "provider": touch("put-back")}],
            **more,
        }  # fmt: skip
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(content))
        return path

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("WATCHKEEPER")}
        return {**kept, "TMPDIR": str(self.folder), "HOME": str(self.folder)}

    def chaos(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "watchkeeper.cli.main", "chaos", *map(str, words)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)

    def start(self, *words: object) -> subprocess.Popen[str]:
        """A run that has broken something and waits."""
        command = [sys.executable, "-m", "watchkeeper.cli.main", "chaos", "run", *map(str, words)]
        process = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert any("Action: wait" in line for line in process.stderr)
        return process

    def marks(self) -> set[str]:
        return {name for name in ("broken", "put-back") if (self.folder / name).exists()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(folder=tmp_path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An installation without a target."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data")}))
    return path


def incident(db: Database, service: str) -> str:
    now = SystemClock().now()
    seen = Finding(
        detector="test", detector_version="1", kind="latency", service=service, summary=f"{service} is slow", onset=now,
        seen_at=now, score=0.99, severity="page",
    )  # fmt: skip
    (incident_id,) = Incidents(db, SystemClock(), OnCallConfig()).observe([seen])
    return incident_id


def test_stop_ends_it_and_rolls_back(bench: Bench) -> None:
    """Also while an activity in the background would go on for a minute; another one is refused until then."""
    with bench.start(bench.file(), "--journal-path", bench.folder / "journal.json") as process:
        second = bench.chaos("run", bench.file("second"))
        assert second.returncode == 1
        assert "another experiment runs" in second.stderr
        stopped = bench.chaos("stop")
        assert (stopped.returncode, stopped.stdout) == (0, "ended: A long one\n")
        assert process.wait(120) == 1
    assert bench.marks() == {"broken", "put-back"}
    journal = json.loads((bench.folder / "journal.json").read_text())
    assert (journal["status"], journal["watchkeeper"]["stopped"]) == ("interrupted", "somebody stopped it")
    assert bench.chaos("stop").stdout == "No experiment runs here.\n"


def test_an_error_has_no_secret(bench: Bench) -> None:
    """Not even one that the library put into the title before a look at the hypothesis raised."""
    (bench.folder / "level.py").write_text("def level():\n    return None\n")
    provider = {"type": "python", "module": "level", "func": "level"}
    hypothesis = {"title": "H", "probes": [{"type": "probe", "name": "p", "tolerance": [0, 1], "provider": provider}]}
    file = bench.file(**{"steady-state-hypothesis": hypothesis, "secrets": {"s": {"token": "hunter2222"}}})
    file.write_text(json.dumps(json.loads(file.read_text()) | {"title": "It is ${token}"}))
    ended = patched(bench, f"import sys\nsys.path.insert(0, {str(bench.folder)!r})", file)
    assert ended.returncode == 1
    assert "It is (secret): TypeError" in ended.stderr
    assert "hunter2222" not in ended.stderr + ended.stdout
    assert bench.marks() == set()


def test_an_activity_that_swallows_the_end_is_ended_all_the_same(bench: Bench) -> None:
    """As a signal is swallowed that comes while something else of the library's is under way."""
    (bench.folder / "stubborn.py").write_text(
        "import time\n\n\ndef wait() -> None:\n    for number in range(2):\n        try:\n            time.sleep(60)\n"
        "        except SystemExit:\n            if number:\n                raise\n"
    )
    provider = {"type": "python", "module": "stubborn", "func": "wait"}
    file = bench.file(method=[{"type": "action", "name": "wait", "provider": provider}])
    command = [sys.executable, "-m", "watchkeeper.cli.main", "chaos", "run", str(file)]
    environment = {**bench.environment, "PYTHONPATH": str(bench.folder)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("Action: wait" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(120) == 1
    assert bench.marks() == {"put-back"}


def test_what_an_unrecorded_activity_did_is_put_back(bench: Bench) -> None:
    """The end comes when the first activity has begun and the journal says nothing of it yet."""
    (bench.folder / "early.py").write_text(
        "import os\nimport signal\n\n\ndef before_activity_control(context: object, **_: object) -> None:\n"
        "    if context['name'] == 'break':\n        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    control = {"name": "early", "provider": {"type": "python", "module": "early"}}
    bench_file = bench.file(controls=[control])
    command = [sys.executable, "-m", "watchkeeper.cli.main", "chaos", "run", str(bench_file)]
    environment = {**bench.environment, "PYTHONPATH": str(bench.folder)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    assert "put-back" in bench.marks(), ended.stderr


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_closed_terminal_ends_it(bench: Bench, is_heard: bool) -> None:
    """It rolls back first; one that was started by `nohup` goes on."""
    # Whoever runs the tests may have been started by `nohup`, too.
    how = ["env", "--default-signal=HUP"] if is_heard else ["nohup"]
    command = [*how, sys.executable, "-m", "watchkeeper.cli.main", "chaos", "run"]
    wait = {"type": "process", "path": "sleep", "arguments": ["60" if is_heard else "2"]}
    file = bench.file(method=[{"type": "action", "name": "wait", "provider": wait}])
    with subprocess.Popen([*command, str(file)], env=bench.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("Action: wait" in line for line in process.stderr)
        process.send_signal(signal.SIGHUP)
        process.stderr.read()
        assert process.wait(120) == int(is_heard)
    assert bench.marks() == {"put-back"}


def test_what_a_killed_one_left_is_put_back(bench: Bench, config: Path) -> None:
    """kill -9: nothing else begins until its rollbacks were played, once."""
    with bench.start(bench.file(), "--config", config) as process:
        process.kill()
    refused = bench.chaos("run", bench.file("second"))
    assert "'A long one' was cut short and its rollbacks were not played" in refused.stderr
    assert bench.marks() == {"broken"}
    assert bench.chaos("history", "--config", config).stdout.split("  ")[1].strip() == "cut short"
    assert bench.chaos("stop").stdout == "put back: A long one, which was cut short\n"
    assert bench.marks() == {"broken", "put-back"}
    (bench.folder / "put-back").unlink()
    bench.chaos("stop")
    assert bench.marks() == {"broken"}


def test_an_incident_that_is_not_its_own_ends_it(bench: Bench, config: Path) -> None:
    """One about a service that it breaks does not; one that is open before keeps it from beginning."""
    db = Database.open(load(config))
    extensions = [{"name": "watchkeeper", "services": ["cart"]}]
    with bench.start(bench.file(extensions=extensions), "--config", config) as process:
        incident(db, "cart")
        other = incident(db, "billing")
        assert process.stderr is not None
        log = process.stderr.read()
        assert process.wait(120) == 1
    assert f"incident {other} is open: billing is slow" in log
    assert bench.marks() == {"broken", "put-back"}
    for name in bench.marks():
        (bench.folder / name).unlink()
    refused = bench.chaos("run", bench.file(extensions=extensions), "--config", config)
    assert refused.stderr.count("refused: incident") == 1
    planned = bench.chaos("plan", bench.file(extensions=extensions), "--config", config)
    assert (planned.returncode, "Refused: incident" in planned.stdout) == (1, True)
    assert bench.marks() == set()
    db.close()


def broken_hypothesis(bench: Bench) -> Path:
    """An experiment that ends as soon as its probe `whole` sees what it broke."""
    look = {"type": "process", "path": "test", "arguments": ["!", "-e", str(bench.folder / "broken")]}
    hypothesis = {"title": "Whole", "probes": [{"type": "probe", "name": "whole", "tolerance": 0, "provider": look}]}
    extensions = [{"name": "watchkeeper", "services": [], "abort": {"hypothesis": True}}]
    return bench.file(**{"steady-state-hypothesis": hypothesis, "extensions": extensions})


def test_a_hypothesis_that_breaks_ends_it(bench: Bench) -> None:
    """Where the file asks for it: the probe is named."""
    ended = bench.chaos("run", broken_hypothesis(bench))
    assert (ended.returncode, ended.stdout) == (1, "interrupted: the probe 'whole' left its tolerance\n")
    assert bench.marks() == {"broken", "put-back"}


SLOW_BETWEEN = """
import time
from chaos.toolkit import run
from watchkeeper.cli.main import main
play = run._play_rollbacks_left_out
run._play_rollbacks_left_out = lambda *given: (time.sleep(3 * run.INSIST_EVERY_S), play(*given))
main()
"""


def test_it_insists_and_lives(bench: Bench) -> None:
    """The library puts signal handlers back before the rollbacks that it left out begin: a slow machine stays there."""
    command = [sys.executable, "-c", SLOW_BETWEEN, "chaos", "run", str(broken_hypothesis(bench))]
    ended = subprocess.run(command, env=bench.environment, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (1, "interrupted: the probe 'whole' left its tolerance\n"), ended.stderr
    assert bench.marks() == {"broken", "put-back"}


def patched(bench: Bench, patch: str, *words: object) -> subprocess.CompletedProcess[str]:
    """`chaos run` where something fails that can't be made to fail from outside."""
    code = f"{patch}\nfrom watchkeeper.cli.main import main\nmain()"
    command = [sys.executable, "-c", code, "chaos", "run", *map(str, words)]
    return subprocess.run(command, env=bench.environment, capture_output=True, text=True, timeout=300)


RAISING_GUARD = """
from chaos.toolkit import session
class Guard:
    name, looks = "the guard", 0
    def look(self):
        self.looks += 1
        if self.looks > 1:
            raise KeyError("seen")
        return ""
session.guards_for = lambda *_: (Guard(),)
"""
FULL_DISK = """
from chaos.running import Notes
write = Notes.write
def full(notes, note):
    if note.phase == "PHASE":
        raise OSError(28, "No space left on device")
    write(notes, note)
Notes.write = full
"""


def test_a_guard_that_raises_whatever_ends_it(bench: Bench) -> None:
    """Its thread must not end, and leave the experiment without a guard."""
    ended = patched(bench, RAISING_GUARD, bench.file())
    assert (ended.returncode, ended.stdout) == (1, "interrupted: the guard cannot be read: 'seen'\n"), ended.stderr
    assert bench.marks() == {"broken", "put-back"}


def test_nothing_is_done_that_could_not_be_noted(bench: Bench) -> None:
    """Whoever is killed then would leave nothing by which it can be put back."""
    ended = patched(bench, FULL_DISK.replace("PHASE", "method"), bench.file())
    words = "interrupted: it could not be noted that it runs: [Errno 28] No space left on device\n"
    assert (ended.returncode, ended.stdout) == (1, words), ended.stderr
    assert bench.marks() == set()


def test_a_full_disk_keeps_nothing_from_being_put_back(bench: Bench) -> None:
    """Rollbacks are played whether they can be noted or not."""
    ended = patched(bench, FULL_DISK.replace("PHASE", "rollbacks"), broken_hypothesis(bench))
    assert (ended.returncode, ended.stdout) == (1, "interrupted: the probe 'whole' left its tolerance\n"), ended.stderr
    assert bench.marks() == {"broken", "put-back"}


@pytest.mark.parametrize("strategy", [None, "always", "never"])
def test_a_probe_of_another_type_afterwards_keeps_nothing_broken(bench: Bench, strategy: str | None) -> None:
    """The library raises where it compares what a broken service returns with a range, and plays no rollbacks."""
    (bench.folder / "level.py").write_text(
        f"import os\ndef level():\n    return None if os.path.exists({str(bench.folder / 'broken')!r}) else 0.5\n"
    )
    provider = {"type": "python", "module": "level", "func": "level"}
    hypothesis = {"title": "H", "probes": [{"type": "probe", "name": "p", "tolerance": [0, 1], "provider": provider}]}
    file = bench.file(**{"steady-state-hypothesis": hypothesis})
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "method": content["method"][:1]}))
    patch = f"import sys\nsys.path.insert(0, {str(bench.folder)!r})"
    words = () if strategy is None else ("--rollback-strategy", strategy)
    ended = patched(bench, patch, file, "--journal-path", bench.folder / "journal.json", *words)
    assert ended.returncode == 1
    assert ended.stdout.startswith("aborted: TypeError: "), ended.stderr
    assert bench.marks() == {"broken", "put-back"} - ({"put-back"} if strategy == "never" else set())
    journal = json.loads((bench.folder / "journal.json").read_text())
    assert (journal["status"], len(journal["rollbacks"])) == ("aborted", int(strategy != "never"))


def test_what_a_killed_one_left_is_put_back_as_it_was_begun(bench: Bench) -> None:
    """With its variables and from its folder, by whoever has neither, and once also where two do it."""
    script = bench.folder / "put-back.sh"
    script.write_text(f"#!/bin/sh\necho $1 >> {bench.folder}/put-back\nsleep 1\n")
    script.chmod(0o700)
    file = bench.file(configuration={"where": {"type": "env", "key": "NO_SUCH_VARIABLE", "default": "elsewhere"}})
    content = json.loads(file.read_text())
    back = {"type": "process", "path": "./put-back.sh", "arguments": ["${where}"]}
    file.write_text(json.dumps({**content, "rollbacks": [{"type": "action", "name": "put back", "provider": back}]}))
    command = [sys.executable, "-m", "watchkeeper.cli.main", "chaos"]
    run = [*command, "run", str(file), "--var", "where=east"]
    surroundings: dict[str, Any] = {"env": bench.environment, "text": True, "stderr": subprocess.PIPE}
    with subprocess.Popen(run, cwd=bench.folder, **surroundings) as process:
        assert process.stderr is not None
        assert any("Action: wait" in line for line in process.stderr)
        process.kill()
    surroundings |= {"cwd": "/", "stdout": subprocess.PIPE}
    both = [subprocess.Popen([*command, "stop"], **surroundings) for _ in range(2)]
    for each in both:
        each.communicate(timeout=300)
    assert 0 in [each.returncode for each in both]
    assert (bench.folder / "put-back").read_text() == "east\n"
    assert bench.chaos("stop").stdout == "No experiment runs here.\n"


def test_a_note_is_of_one_process(tmp_path: Path) -> None:
    """Not of another that got its number, nor of one before the machine was started anew; whatever the clock says."""
    note = own_note("a", title="", source="", radius="", content={})
    boot, _, ticks = note.born.rpartition(":")
    assert note.is_alive
    assert not replace(note, born=f"{boot}:{int(ticks) - 1}").is_alive
    assert not replace(note, born=f"another:{ticks}").is_alive


def test_a_condition_that_needs_an_installation_is_refused_without_one(bench: Bench) -> None:
    """Before anything is done."""
    extensions = [{"name": "watchkeeper", "services": [], "abort": {"budget_below": 0.5}}]
    refused = bench.chaos("run", bench.file(extensions=extensions))
    assert "name it by --config FILE" in refused.stderr
    assert bench.marks() == set()


@pytest.mark.slow
@pytest.mark.xdist_group("shop")
def test_a_fault_is_an_action_under_both_tools(shop: RunningShop, config_file: Path, tmp_path: Path) -> None:
    """The short form's own file, under `chaos`; stopped under ours on a game day: put back, recorded, and sealed."""
    environment = {**os.environ, "WATCHKEEPER_CONFIG": str(config_file), "TMPDIR": str(tmp_path)}
    ours = [sys.executable, "-m", "watchkeeper.cli.main", "chaos"]
    file = tmp_path / "latency.json"
    short = ["run", "latency", "orders", "--seconds", "1", "--write", str(file)]
    subprocess.run([*ours, *short], env=environment, check=True)
    theirs = [str(Path(sys.executable).with_name("chaos")), "--no-version-check", "--no-log-file", "run"]
    journal = tmp_path / "journal.json"
    subprocess.run([*theirs, "--journal-path", str(journal), str(file)], env=environment, check=True)
    (done,) = json.loads(journal.read_text())["run"]
    assert (done["status"], done["output"]["status"], done["output"]["effect"]["proved"]) == (
        "succeeded",
        "completed",
        True,
    )
    long = [*ours, "run", "kill", "shipping", "--seconds", "60", "--game-day"]
    with subprocess.Popen(long, env=environment, stderr=subprocess.PIPE, text=True) as process:
        records = Records(tmp_path / "data" / "chaos")
        until(
            lambda: [each.effect.proved for each in records.history()] == [True, True],
            moving=records.history,
            what="the effect",
        )
        shown = subprocess.run([*ours, "history"], env=environment, capture_output=True, text=True, check=True).stdout
        assert "a game day" in shown
        assert "shipping" not in shown
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "shipping" not in process.stderr.read()
        assert process.wait(120) == 1
    newest = records.history()[-1]
    assert (newest.status, newest.target, newest.sealed) == ("interrupted", "shipping", True)
    assert records.truths()[-1].sealed
    assert shop.target.status("shipping").state == "running"
