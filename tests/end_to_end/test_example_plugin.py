"""A package of other people, in a fresh environment beside Watchkeeper's wheel: each of its parts is seen at work.

Job queues are watched by its source and its detector. Its fault jams one of them in an experiment. The incident has
its detector's finding, its evidence and its step, and the step repairs the queue on its target.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from alerting.incidents.commands import Incidents
from alerting.incidents.machine import Incident
from runbooks.run_rows import runs_of
from tests.installed import ROOT, Installation, build_wheel
from tests.waiting import until
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, load
from watchkeeper.errors import StoreError
from watchkeeper.ports import free_port
from watchkeeper.roles import ready
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end, pytest.mark.xdist_group("example-plugin")]
PLUGIN = ROOT / "tests" / "example_plugin"
PARTS = {
    ("source", "queue-status"),
    ("detector", "backlog"),
    ("evidence", "full_queue"),
    ("channel", "page-file"),
    ("step", "unjam"),
    ("target", "workers"),
    ("fault", "jam"),
    ("agent_fault", "one-core"),
    ("agent_finder", "worker-name"),
    ("page", "incident-count"),
}
QUEUE = "emails"
BOOK = {
    "id": "unjam-worker",
    "title": "Free the worker of {service}",
    "why": "The queue of {service} fills up, and its worker takes no jobs.",
    "mechanisms": ["hung", "unknown", "latency", "errors", "killed"],
    "steps": ["unjam"],
    "blast_radius": "{service} alone; the job that the worker was at begins anew.",
    "undo": "Nothing to undo.",
}
SAMPLES_BEFORE = 8  # of each queue, before anything is broken
HOLD_S = 90  # how long the fault would last if nobody repaired it


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Both wheels in a fresh environment."""
    folder = tmp_path_factory.mktemp("installed")
    wheels = [build_wheel(project, folder / name) for name, project in {"own": ROOT, "plugin": PLUGIN}.items()]
    return Installation.of(folder, *wheels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A running installation that watches job queues."""

    installation: Installation
    config_file: Path
    config: Config
    db: Database
    queues: str

    def watchkeeper(self, *words: str) -> str:
        """What a command prints."""
        return self.installation.run(*words, "--config", str(self.config_file)).stdout

    def incident(self) -> Incident | None:
        """The incident of the jammed queue, as soon as there is one."""
        incidents = Incidents(self.db, SystemClock(), self.config.oncall).list(limit=10)
        return next((each for each in incidents if QUEUE in {finding.service for finding in each.findings}), None)

    def backlog(self) -> float:
        return float(httpx.get(self.queues, trust_env=False).json()[QUEUE])


@pytest.fixture(scope="module")
def scene(installation: Installation) -> Iterator[Scene]:
    """The queues, and `watchkeeper up` that watches them, after a short while of calm."""
    folder = installation.folder
    port = free_port()
    queues = f"http://127.0.0.1:{port}"
    (folder / "books").mkdir()
    (folder / "books" / "unjam.yaml").write_text(yaml.safe_dump(BOOK))
    (folder / "books" / "policy.yaml").write_text(yaml.safe_dump({"services": [QUEUE]}))
    tree: dict[str, Any] = {
        "data_dir": "data",
        "store": {"port": free_port()},
        "ingest": {"otlp_http_port": free_port(), "otlp_grpc_port": free_port()},
        "web": {"port": free_port()},
        "channels": {"slack": {}, "page-file": {"path": str(folder / "pages")}},
        "oncall": {
            "people": [{"id": "ana", "name": "Ana", "addresses": {"slack": "U0ANA", "page-file": "Ana's pager"}}],
            "schedules": [{"id": "primary", "layers": [{"people": ["ana"]}], "fallback": "ana"}],
        },
        "slack": {"stand_in": {"port": free_port()}},
        "sources": {"queue-status": {"url": queues, "interval_s": 1}},
        "runbooks": {"dir": "books"},
        "targets": {"workers": {"kind": "workers", "settings": {"url": queues}}},
    }
    file = folder / "watchkeeper.yaml"
    file.write_text(yaml.safe_dump(tree))
    config = load(file)
    workers = subprocess.Popen([str(installation.python), str(PLUGIN / "workers.py"), str(port)])
    log = folder / "up.log"
    with log.open("wb") as output:
        command = [str(installation.environment / "bin" / "watchkeeper"), "up", "--config", str(file)]
        up = subprocess.Popen(
            command, cwd=folder, env=installation.variables(), stdout=output, stderr=subprocess.STDOUT
        )

    def has_started() -> bool:
        assert up.poll() is None, log.read_text()
        return all(ready.read(config, role) for role in ("store", "ingest", "watch", "web", "standin"))

    try:
        until(has_started, moving=log.read_bytes, what="the start")
        telemetry = Telemetry.connect(config)
        until(lambda: _samples(telemetry) >= SAMPLES_BEFORE, moving=lambda: _samples(telemetry), what="the source")
        yield Scene(installation=installation, config_file=file, config=config, db=Database.open(config), queues=queues)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(120)
        workers.kill()
        workers.wait()


def _samples(telemetry: Telemetry) -> int:
    """How many values of the jammed queue the source has brought in."""
    sql = "SELECT count() AS n FROM otel_metrics_gauge WHERE MetricName = 'backlog' AND ServiceName = {queue:String}"
    try:
        return int(telemetry.query(sql, {"queue": QUEUE})["n"][0].as_py())
    except StoreError:
        return 0


def test_its_parts_are_listed_as_built_in_ones_are(scene: Scene) -> None:
    """With their origin, and all in use."""
    parts = json.loads(scene.watchkeeper("parts", "--json", "--check"))
    own = {(part["kind"], part["name"]): part for part in parts if part["origin"] == "queue-parts 1.0.0"}
    assert set(own) == PARTS
    assert {part["used"] for (kind, _), part in own.items() if not kind.startswith("agent_")} == {"yes"}


def test_its_parts_go_through_the_whole_loop(scene: Scene) -> None:
    """Fault, finding, evidence, message, approved step, recovery: each by a part of the package."""
    command = [str(scene.installation.environment / "bin" / "watchkeeper"), "chaos", "run", "jam", QUEUE]
    with subprocess.Popen(
        [*command, "--config", str(scene.config_file), "--seconds", str(HOLD_S)],
        cwd=scene.installation.folder,
        env=scene.installation.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as experiment:
        try:
            incident = until(lambda: _diagnosed(scene), moving=lambda: scene.backlog() // 200, what="the diagnosis")
            assert "backlog" in {finding.detector for finding in incident.findings}
            assert incident.diagnosis
            (suspect, *_) = incident.diagnosis.suspects
            assert suspect.service == QUEUE
            assert "full_queue" in {evidence.kind for evidence in suspect.evidence}
            assert "its backlog grew from 3 to" in scene.watchkeeper("incident", "show", incident.id)
            line = until((scene.installation.folder / "pages").read_text, what="the page")
            assert "\tAna's pager\temails holds " in line
            assert incident.proposal
            assert incident.proposal.runbook == "unjam-worker"
            assert incident.proposal.blocked == ""
            scene.watchkeeper("incident", "ack", incident.id)
            scene.watchkeeper("incident", "approve", incident.id, "--proposal", incident.proposal.id)
            until(lambda: scene.backlog() < 10, what="the step's work")
            (run,) = until(lambda: [run for run in runs_of(scene.db, incident.id) if run.state == "done"], what="run")
            assert [(step.name, step.state, step.detail) for step in run.steps] == [("unjam", "done", "unjam: done")]
        finally:
            experiment.send_signal(signal.SIGINT)
            output, _ = experiment.communicate(timeout=120)
    assert "took effect: its worker answers 503" in output


def _diagnosed(scene: Scene) -> Incident | None:
    """The incident, once it is explained and something is proposed."""
    incident = scene.incident()
    return incident if incident and incident.diagnosis and incident.proposal else None


def test_no_example_is_longer_than_a_screen() -> None:
    """One file a part, each under 40 lines of code: blank lines aside."""
    for path in (PLUGIN / "queue_parts").glob("*.py"):
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        assert len(lines) < 40, path.name


def test_its_parts_pass_the_conformance_suites(installation: Installation) -> None:
    """The package's own tests, with nothing of this repository on the path."""
    copied = shutil.copytree(PLUGIN, installation.folder / "plugin_tests", ignore=shutil.ignore_patterns("queue_parts"))
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "ignore", "--rootdir", str(copied)]
    options += ["--basetemp", str(installation.folder / "plugin_base")]  # the default closes the folder of this run
    done = installation.run_python("-m", "pytest", *options, str(copied / "tests"), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
