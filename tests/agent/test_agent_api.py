"""The agent's API: what its file allows is done once, and everything else is refused with a sentence and audited."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bare_host import BareService, keepers_of
from tests.running_agent import TOKEN, RunningAgent, allowed
from tests.waiting import until


@pytest.fixture
def service() -> Iterator[BareService]:
    service = BareService()
    service.start()
    try:
        yield service
    finally:
        service.end()


@pytest.fixture
def agent(service: BareService, tmp_path: Path) -> Iterator[RunningAgent]:
    commands = {"greet": {"run": ["/bin/sh", "-c", f"echo hello >> {tmp_path}/greeted; echo hello"]}}
    agent = RunningAgent(tmp_path, allowed(service, commands=commands), bounds={"seconds": 600})
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()
        until(lambda: not keepers_of(agent.root), what="the end of the keepers")


def fault(**changes: Any) -> dict[str, Any]:
    return {"service": "orders", "fault": "hang", "seconds": 60, "arguments": {}, **changes}


REFUSALS: dict[str, tuple[str, str, Any, int, str]] = {
    "service": ("POST", "/services/billing/restart", {}, 404, "has no service billing; it has orders"),
    "verb": ("POST", "/services/orders/fly", {}, 404, "there is no verb fly"),
    "argument of a verb": (
        "POST",
        "/services/orders/restart",
        {"hard": 1},
        422,
        "restart takes no arguments, not hard",
    ),
    "command": (
        "POST",
        "/services/orders/command",
        {"name": "rm"},
        403,
        "services.orders.commands of the agent's file",
    ),
    "command without a name": ("POST", "/services/orders/command", {}, 422, "takes"),
    "fault of a service": ("POST", "/faults", fault(service="billing"), 404, "has no service billing"),
    "fault": ("POST", "/faults", fault(fault="flood"), 404, "there is no fault flood"),
    "fault that is not listed": (
        "POST",
        "/faults",
        fault(fault="cpu"),
        403,
        "services.orders.faults of the agent's file",
    ),
    "bound": ("POST", "/faults", fault(seconds=601), 403, "bounds.seconds of the agent's file, 600 for orders"),
    "no time": ("POST", "/faults", fault(seconds=0), 422, "must be a number over 0"),
    "endless": ("POST", "/faults", fault(seconds="forever"), 422, "must be a number over 0"),
    "argument": ("POST", "/faults", fault(arguments={"depth": 3}), 422, "hang has no argument depth"),
    "key of a fault": ("POST", "/faults", fault(force=True), 422, "a fault has no force"),
    "body": ("POST", "/faults", [1], 422, "must be a JSON object"),
    "unknown fault": ("GET", "/faults/nothing", None, 404, "there is no fault nothing"),
    "end of an unknown fault": ("DELETE", "/faults/..%2f..%2fetc", None, 404, "there is no fault"),
    "lease": ("POST", "/leases", {"service": "orders", "verb": "fly", "after_s": 5}, 404, "there is no verb fly"),
    "long lease": ("POST", "/leases", {"service": "orders", "verb": "start", "after_s": 1e6}, 403, "bounds.seconds"),
    "half a lease": ("POST", "/leases", {"service": "orders"}, 422, "a lease needs"),
    "address": ("GET", "/etc/passwd", None, 404, "Not Found"),
    "method": ("PUT", "/faults", {}, 405, "Method Not Allowed"),
}


def test_it_refuses_what_its_file_does_not_allow(agent: RunningAgent, service: BareService) -> None:
    """Each refusal is one sentence, is in the audit log, and changes nothing."""
    before = service.processes()
    for what, (method, path, body, status, words) in REFUSALS.items():
        answer = agent.ask(method, path, body)
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), (what, answer.text)
        assert words in answer.json()["error"], what
        audited = agent.audited()[0]
        assert (audited["what"], audited["status"], audited["error"]) == ("refused", status, answer.json()["error"]), (
            what
        )
    assert service.processes() == before
    assert agent.good("GET", "/faults") == []


@pytest.mark.parametrize("token", ["-", "wr0ng", TOKEN[:-1], TOKEN + "x", "Bearer", "ü"])
def test_it_refuses_a_wrong_token(token: str, agent: RunningAgent) -> None:
    """Whatever is asked; the refusal is audited, and no token is written anywhere."""
    headers = {"Authorization": b"Bearer " + token.encode()}
    for method, path in (("GET", "/target"), ("POST", "/faults"), ("POST", "/stop"), ("GET", "/nothing")):
        answer = httpx.request(method, agent.url + path, headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"error": "the token is missing or wrong"})
    assert "refused" in {row["what"] for row in agent.audited()}
    agent.begin("hang", 0.2, key="k")
    written = b"".join(path.read_bytes() for path in agent.root.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
    assert len(token) < 10 or token.encode() not in written


def test_it_lists_what_can_be_done(agent: RunningAgent, service: BareService) -> None:
    (row,) = agent.good("GET", "/services")
    pid = service.instance().pid
    assert (row["service"], row["state"], row["pid"], row["port"]) == ("orders", "running", pid, service.port)
    assert set(row["can"]) == {
        *("start", "stop", "restart", "resume", "command", "lease", "probe", "fault:hang", "fault:kill")
    }
    assert (row["may_break"], row["bounds"]["seconds"], row["lacks"]) == (True, 600.0, {})
    assert agent.good("GET", "/services?service=orders") == [row]
    assert agent.good("GET", "/services?service=nobody") == []
    agent.good("POST", "/services/orders/stop")
    (row,) = agent.good("GET", "/services")
    assert (row["state"], row["instance"]) == ("exited", "")
    assert row["lacks"] == {"hang": "it does not run", "kill": "it does not run"}


def test_a_verb_is_done_once_for_each_key_also_across_kills(agent: RunningAgent, service: BareService) -> None:
    """A restart that is asked for again is answered with what was done."""
    old = service.instance().pid
    did = agent.good("POST", "/services/orders/restart", key="once")
    new = service.instance().pid
    assert new != old
    agent.kill()
    agent.start()
    assert agent.good("POST", "/services/orders/restart", key="once") == did
    assert service.instance().pid == new
    refused = agent.ask("POST", "/services/orders/stop", key="once")
    assert (refused.status_code, refused.json()) == (
        422,
        {"error": "this Idempotency-Key was used for another request"},
    )


def test_what_was_under_way_when_the_agent_died_is_not_done_twice(agent: RunningAgent, service: BareService) -> None:
    """A key without an answer: a restart is looked up, a start is done, and a command is for a human."""
    agent.good("POST", "/services/orders/command", {"name": "greet"}, key="c")
    agent.good("POST", "/services/orders/restart", key="r")
    agent.kill()
    keys = agent.root / "keys.jsonl"
    rows = [json.loads(line) for line in keys.read_text().splitlines()]
    keys.write_text("".join(json.dumps(row) + "\n" for row in rows if "status" not in row))
    agent.start()
    before = service.instance().pid
    assert "restarted" in agent.good("POST", "/services/orders/restart", key="r")["did"]
    assert service.instance().pid == before
    answer = agent.ask("POST", "/services/orders/command", {"name": "greet"}, key="c")
    assert answer.status_code == 409
    assert "is not known" in answer.json()["error"]
    assert (agent.folder / "greeted").read_text() == "hello\n"


def test_a_command_runs_by_its_name(agent: RunningAgent) -> None:
    assert agent.good("POST", "/services/orders/command", {"name": "greet"})["output"] == "hello"


def test_a_fault_is_held_shown_and_ended(agent: RunningAgent, service: BareService) -> None:
    """Asked for twice with one key, it is one fault; a second fault is refused; its end is idempotent."""
    fault_id = agent.begin("hang", key="one")
    assert agent.begin("hang", key="one") == fault_id
    state = agent.with_effect(fault_id)
    assert (state["service"], state["fault"], state["state"]) == ("orders", "hang", "holding")
    assert "is stopped" in state["effect"]
    busy = agent.ask("POST", "/faults", fault(fault="kill"))
    assert busy.status_code == 409
    assert "busy with hang of orders (holding)" in busy.json()["error"]
    assert agent.good("POST", "/services/orders/probe", {"timeout_s": 0.2})["status"] == 0
    for _ in range(3):
        agent.good("DELETE", f"/faults/{fault_id}")
    assert agent.ended(fault_id)["reason"] == "platform asked"
    agent.good("DELETE", f"/faults/{fault_id}")
    assert service.answers(timeout_s=30)
    assert agent.begin("hang", key="one") == fault_id
    assert agent.good("POST", "/services/orders/probe", {"timeout_s": 20})["status"] == 200
    assert {"fault.asked", "fault.begun", "fault.effect", "fault.end_asked", "fault.ended"} <= {
        row["what"] for row in agent.audited()
    }


def test_a_key_means_the_same_fault_after_a_restart(agent: RunningAgent, service: BareService) -> None:
    """The agent's death ended the fault, and asking again does not begin it anew."""
    fault_id = agent.begin("hang", key="one")
    agent.with_effect(fault_id)
    agent.kill()
    until(service.answers, what="the end of the fault without an agent")
    agent.start()
    assert agent.begin("hang", key="one") == fault_id
    assert agent.ended(fault_id)["reason"] == "the agent is gone"


@pytest.mark.parametrize("how", ["request", "file"])
def test_the_global_stop_ends_everything(how: str, agent: RunningAgent, service: BareService) -> None:
    """By a request or by a file on the host; no fault is taken until somebody resumes; repairs still are."""
    fault_id = agent.begin("hang")
    agent.with_effect(fault_id)
    if how == "request":
        assert agent.good("POST", "/stop")["faults"] == [fault_id]
    else:
        (agent.root / "stop").touch()
    assert agent.ended(fault_id)["reason"] == "everything was stopped"
    assert service.answers(timeout_s=30)
    assert agent.good("GET", "/target")["stopped"]
    refused = agent.ask("POST", "/faults", fault())
    assert (refused.status_code, "everything was stopped" in refused.json()["error"]) == (409, True)
    agent.kill()
    agent.start()
    assert agent.ask("POST", "/faults", fault()).status_code == 409
    agent.good("POST", "/services/orders/restart")
    assert agent.good("POST", "/resume")["was_stopped"]
    agent.ended(agent.begin("hang", 0.2))


def test_a_lease_is_done_also_after_the_death_of_the_agent(agent: RunningAgent, service: BareService) -> None:
    """One that was ended is not; one about another instance does nothing."""
    agent.good("POST", "/services/orders/stop")
    ended = agent.good("POST", "/leases", {"service": "orders", "verb": "restart", "after_s": 1})["lease"]
    assert agent.good("DELETE", f"/leases/{ended}") == {"ended": True}
    assert agent.good("DELETE", f"/leases/{ended}") == {"ended": False}
    other = {"service": "orders", "verb": "restart", "after_s": 0.5, "if_instance": "1-1"}
    agent.good("POST", "/leases", other)
    until(lambda: any(row["what"] == "lease.done" for row in agent.audited()), what="the lease about another instance")
    assert service.finder.find() == ()
    agent.good("POST", "/leases", {"service": "orders", "verb": "start", "after_s": 0.5})
    agent.kill()
    agent.start()
    until(service.answers, what="the start by the lease")
    until(lambda: not list((agent.root / "leases").iterdir()), what="the end of the lease")


def test_an_agent_that_is_told_to_stop_ends_its_faults_first(agent: RunningAgent, service: BareService) -> None:
    agent.with_effect(agent.begin("kill"))
    agent.stop()
    assert list((agent.root / "faults").iterdir()) == []
    assert service.answers(timeout_s=30)


def test_one_state_folder_has_one_agent(agent: RunningAgent) -> None:
    second = subprocess.run([sys.executable, "-I", "-m", "agent", agent.path], capture_output=True, text=True)
    assert second.returncode == 1
    assert second.stderr == (f"watchkeeper agent: another agent uses {agent.root}: stop it, or set another state_dir\n")


@pytest.mark.parametrize(
    ("more", "own", "words"),
    [
        (
            {"bounds": {"hours": {"start": "00:00", "end": "00:01", "zone": "Etc/GMT+12"}}},
            {},
            "bounds.hours (00:00-00:01",
        ),
        ({"bounds": {"share": 0.5}}, {}, "allows to break 0.5 of them, which is none"),
        ({}, {"bounds": {"seconds": 10}}, "10 for orders"),
    ],
    ids=["hours", "share", "seconds of a service"],
)
def test_bounds_hold(more: Any, own: Any, words: str, service: BareService, tmp_path: Path) -> None:
    """Narrower ones of a service hold for it; the hours of this test are one minute of the day, far in the west."""
    agent = RunningAgent(tmp_path, allowed(service, **own), **more)
    agent.start()
    try:
        answer = agent.ask("POST", "/faults", fault())
        assert (answer.status_code, words in answer.json()["error"]) == (403, True), answer.text
    finally:
        agent.stop()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl makes certificates here")
def test_mutual_tls_lets_in_who_shows_a_certificate(service: BareService, tmp_path: Path) -> None:
    """A token alone is not enough then."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    for name in ("agent", "client"):
        made = ["-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"]
        subprocess.run(["openssl", "req", "-x509", "-days", "2", *made, *subject], check=True, capture_output=True)
    agent = RunningAgent(
        tmp_path,
        allowed(service),
        tls={"certificate": "agent.pem", "key": "agent.key", "client_ca": "client.pem"},
    )
    agent.start()
    try:
        url, headers = agent.url.replace("http:", "https:") + "/target", {"Authorization": f"Bearer {TOKEN}"}
        context = ssl.create_default_context(cafile=str(tmp_path / "agent.pem"))
        with pytest.raises(httpx.TransportError):
            httpx.get(url, headers=headers, verify=context)
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        assert httpx.get(url, headers=headers, verify=context).json()["name"] == "host-7"
        assert httpx.get(url, verify=context).status_code == 401
        with pytest.raises(httpx.TransportError):
            httpx.get(agent.url + "/target", headers=headers)
    finally:
        agent.stop()


def test_a_fault_that_cannot_be_put_back_is_said_and_tried_again(tmp_path: Path) -> None:
    """Its service and the others show why, no other fault begins, and the repair on the host ends it."""
    service, hindrance = BareService(), tmp_path / "hindrance"
    start = ["/bin/sh", "-c", f'test ! -e {hindrance} && exec "$@"', "sh", *service.settings["start"]]
    agent = RunningAgent(
        tmp_path, allowed(service, find={"process": {**service.settings, "start": start}}), bounds={"concurrent": 2}
    )
    try:
        service.start()
        agent.start()
        fault_id = agent.begin("kill")
        agent.with_effect(fault_id)
        hindrance.touch()
        agent.good("DELETE", f"/faults/{fault_id}")
        stuck = until(lambda: agent.good("GET", "/target")["stuck"], what="a stuck fault")
        assert "/bin/sh failed with status 1" in stuck[0]["error"]
        assert stuck[0]["remains"] == ["orders, which does not run"]
        (row,) = agent.good("GET", "/services")
        assert row["stuck"].startswith("the fault kill of orders is stuck: /bin/sh failed")
        assert "fault.stuck" in {each["what"] for each in agent.audited()}
        refused = agent.ask("POST", "/faults", fault())
        assert (refused.status_code, "stuck" in refused.json()["error"]) == (409, True), refused.text
        hindrance.unlink()
        assert agent.ended(fault_id)["remains"] == []
        assert service.answers(timeout_s=30)
    finally:
        hindrance.unlink(missing_ok=True)
        agent.stop()
        service.end()
