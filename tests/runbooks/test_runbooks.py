"""Runbooks: proposed for a reason, refused where they may not act, run once, journalled, undone."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runbooks.feasible import weighed
from runbooks.library import Library, load_runbooks
from runbooks.policy import Policy
from runbooks.preflight import runbook_mistakes
from runbooks.propose import propose
from runbooks.runbook import read_runbook
from runbooks.targets.control_api import ControlApi
from watchkeeper.config import Config, read
from watchkeeper.errors import RunbookError, TargetError
from watchkeeper.target import Lease, NoTarget, ServiceStatus, TargetSettings, configured_target
from watchkeeper.vocabulary import ChangeEvent, Diagnosis, Mechanism, Proposal, Suspect

ONSET = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def library() -> Library:
    return replace(load_runbooks(), policy=Policy(services=("*",)))


def _diagnosis(mechanism: Mechanism, *, abstained: bool = False) -> Diagnosis:
    suspect = Suspect(service="payments", score=3.0, probability=0.8, mechanism=mechanism)
    return Diagnosis(
        onset=ONSET, made_at=ONSET, suspects=(suspect,), abstained=abstained, reason="because", engine_version="1"
    )


def _deploy(minutes_before: float, **changes: Any) -> ChangeEvent:
    at = ONSET - timedelta(minutes=minutes_before)
    values = {"id": "d1", "at": at, "kind": "deploy", "service": "payments", "title": "Deploy 1.4.1"} | changes
    return ChangeEvent(**values)


@pytest.mark.parametrize(
    ("mechanism", "runbook"),
    [
        ("killed", "start-service"),
        ("hung", "replace-hung-instance"),
        ("database", "release-database"),
        ("network", "replace-network-path"),
        ("cpu", "restart-service"),
        ("latency", "restart-service"),
    ],
)
def test_the_mechanism_decides(library: Library, mechanism: Mechanism, runbook: str) -> None:
    """Without a change, each mechanism has its runbook."""
    proposal = propose(_diagnosis(mechanism), (), library)
    assert proposal is not None
    assert (proposal.runbook, proposal.service) == (runbook, "payments")
    assert all("payments" in step for step in proposal.steps)


def test_a_change_before_the_onset_is_rolled_back(library: Library) -> None:
    """Errors that begin after a deploy of the suspect propose its roll-back."""
    proposal = propose(_diagnosis("errors"), [_deploy(1)], library)
    assert proposal is not None
    assert (proposal.runbook, proposal.arguments["change"]) == ("roll-back-deploy", "d1")


@pytest.mark.parametrize(
    "change",
    [
        _deploy(60),
        _deploy(1, service="cart"),
        _deploy(1, attributes={"rollback": "true"}),
        _deploy(1, kind="restart", title="restarted all 2 instances, same version"),
        _deploy(-2),
    ],
)
def test_a_change_that_explains_nothing_is_left_alone(library: Library, change: ChangeEvent) -> None:
    """An old change, another service's, a roll-back, a restart, or one after the onset does not lead to a roll-back."""
    proposal = propose(_diagnosis("errors"), [change], library)
    assert proposal is not None
    assert proposal.runbook == "restart-service"


def test_what_was_rolled_back_since_is_not_rolled_back_again(library: Library) -> None:
    """The rollback may come after the onset: a page can be late. A deploy after it counts again."""
    back = _deploy(-3, id="d2", attributes={"rollback": "true"})
    first, second = propose(_diagnosis("errors"), [back, _deploy(1)], library), _deploy(0, id="d3")
    assert first is not None
    assert first.runbook == "restart-service"
    earlier = _deploy(0.5, id="d2", attributes={"rollback": "true"})
    again = propose(_diagnosis("errors"), [second, earlier, _deploy(1)], library)
    assert again is not None
    assert (again.runbook, again.arguments["change"]) == ("roll-back-deploy", "d3")


def test_an_abstention_proposes_nothing(library: Library) -> None:
    """No cause, no action."""
    assert propose(_diagnosis("hung", abstained=True), (), library) is None
    assert propose(_diagnosis("traffic"), (), library) is None


def _proposal(runbook: str, service: str = "payments") -> Proposal:
    return Proposal(runbook=runbook, title="t", service=service, steps=("s",), blast_radius="b", undo="u")


class Reachable(NoTarget):
    """A target that knows every service, and what can be done to it."""

    def __init__(self, *verbs: str) -> None:
        super().__init__("asked for more than a status")
        self._verbs = frozenset(verbs)

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        return ServiceStatus(service=service, state="running", capabilities=self._verbs)


def test_nothing_may_be_touched_by_default() -> None:
    """The built-in policy names no service: what it proposes is advice, with the reason and the remedy."""
    advice = weighed(_proposal("restart-service"), load_runbooks(), Reachable())
    assert advice.blocked.startswith("restart-service may not touch payments: it is not among `services`")
    assert advice.id == _proposal("restart-service").id


def test_what_the_policy_allows_and_the_target_knows_is_offered(library: Library) -> None:
    """No reason against it: somebody may be asked."""
    assert weighed(_proposal("restart-service"), library, Reachable("restart", "reroute")).blocked == ""


def test_a_verb_that_the_target_lacks_makes_it_advice(library: Library) -> None:
    """The reason names the service and what cannot be done."""
    advice = weighed(_proposal("restart-service"), library, Reachable("restart"))
    assert advice.blocked == "the target cannot do this to payments: reroute"


class Odd(NoTarget):
    """Another package's target with a bug."""

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        raise KeyError(service)


def test_a_target_with_a_bug_makes_it_advice(library: Library) -> None:
    """The page goes out all the same, with what went wrong."""
    advice = weighed(_proposal("restart-service"), library, Odd("odd"))
    assert advice.blocked == "the target cannot be asked: KeyError: 'payments'"


def test_a_kind_of_target_that_is_not_installed_is_named(library: Library, tmp_path: Path) -> None:
    """Before the start with file and line, and on each proposal where the role runs on without it."""
    path = tmp_path / "watchkeeper.yaml"
    path.write_text("targets:\n  moon:\n    kind: teleporter\n")
    file = read(path)
    (mistake,) = runbook_mistakes(file)
    assert mistake.startswith(f"{path}:3: targets.moon.kind: no target kind 'teleporter' is installed")
    advice = weighed(_proposal("restart-service"), library, configured_target(file.config))
    assert "there is no target kind 'teleporter'" in advice.blocked


def test_without_a_target_nothing_is_proposed(library: Library) -> None:
    """Nobody is distracted by what cannot be run from here; a role that asks all the same is told the key to set."""
    target = configured_target(Config())
    assert weighed(_proposal("restart-service"), library, target) is None
    with pytest.raises(TargetError, match="no target is configured: name one under `targets:`"):
        target.act("payments", "restart", key="k")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", None),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"a": [1,2]}', "in another form"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ht>", "is not JSON"),
        (b"HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\ntoken", "401 token"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "500"),
        (b"", "does not answer"),
        (None, "does not answer"),
    ],
)
def test_a_target_that_cannot_act_makes_it_advice(library: Library, answer: bytes | None, reason: str | None) -> None:
    """Refused, garbled, silent or gone: the proposal says so instead of being offered. Unknown there: no proposal."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(answer or b"")
            connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        if answer is None:
            server.close()
        else:
            thread.start()
        target = ControlApi(TargetSettings(url=f"http://127.0.0.1:{port}", token="t"))
        advice = weighed(_proposal("restart-service"), library, target)
        assert (advice is None) if reason is None else (advice is not None and reason in advice.blocked)
        target.close()


class OddServer(BaseHTTPRequestHandler):
    """A server that answers, and nothing of what is expected."""

    probe: object = None

    def do_GET(self) -> None:
        self._answer([{"service": "cart", "state": "running", "probe": self.probe}])

    def do_POST(self) -> None:
        self._answer([])

    def _answer(self, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.mark.parametrize(
    "probe",
    ["GET /", {"method": "GET"}, {"method": 3, "url": "http://h/"}, {"method": "GET", "url": "http://h:x/"}],
)
def test_probes_and_leases_of_another_form_are_an_error(probe: object) -> None:
    """One that those who ask can catch: a fault that holds must be ended whatever the target answers."""
    handler = type("Handler", (OddServer,), {"probe": probe})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = ControlApi(TargetSettings(url=f"http://127.0.0.1:{server.server_port}", token="t"))
        with pytest.raises(TargetError, match="in another form"):
            target.probe("cart")
        with pytest.raises(TargetError, match="answers /leases in another form"):
            target.lease(Lease(service="cart", verb="start", after_s=1))
        target.close()
        server.shutdown()


def test_a_name_is_no_path_at_the_target() -> None:
    """A service named like a way up the tree is asked for by that name, or not at all."""
    paths: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            paths.append(connection.recv(65536).split(b"\r\n")[0])
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        target = ControlApi(TargetSettings(url=f"http://127.0.0.1:{server.getsockname()[1]}"))
        target.act("../../admin?x=\r\n#", "restart", key="k\n:0")
        thread.join(60)
        with pytest.raises(TargetError, match="no service"):
            target.act("..", "restart", key="k")
        target.close()
    assert paths == [b"POST /services/..%2F..%2Fadmin%3Fx%3D%0D%0A%23/restart HTTP/1.1"]


def test_a_runbook_file_is_checked(tmp_path: Path) -> None:
    """An unknown step is an error that names the file and what there is."""
    path = tmp_path / "wrong.yaml"
    path.write_text("id: wrong\ntitle: t\nwhy: w\nmechanisms: [cpu]\nsteps: [explode]\nblast_radius: b\nundo: u\n")
    with pytest.raises(RunbookError, match=r"wrong\.yaml:5: steps\.0: no step 'explode'; there are ask, "):
        read_runbook(path)
