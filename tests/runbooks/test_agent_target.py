"""The kind of target `agent`: what it asks an agent, and how it takes the answers."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from runbooks.targets.agent import Agent
from tests.runbooks.agent_server import agent_server, service_row
from watchkeeper.errors import OutOfReachError, TargetError
from watchkeeper.target import LEASE, PROBE, Lease, TargetSettings


def test_a_fault_is_begun_once_for_each_key_and_ended() -> None:
    """The same key leads to the same fault; it ends when it is asked to, also a second time."""
    with agent_server(service_row("payments")) as server:
        agent = Agent(TargetSettings(url=server.url, token="t"))
        first = agent.begin_fault("payments", "hang", seconds=30, key="k", arguments={"share": 0.5})
        assert agent.begin_fault("payments", "hang", seconds=30, key="k") == first
        assert agent.fault(first).state == "holding"
        assert agent.fault(first).effect == "pid 7 is stopped"
        assert server.faults[first]["arguments"] == {"share": 0.5}
        for _ in range(2):
            agent.end_fault(first)
        assert (agent.fault(first).state, agent.fault(first).ended_at > 0) == ("ended", True)
        assert agent.begin_fault("payments", "hang", seconds=30, key="another") != first
        agent.close()


def test_a_service_lists_what_its_agent_holds() -> None:
    """Faults, bounds and consent come from the agent's rows; nothing is known of the host's processes."""
    row = service_row("payments", pid=1, port=2, reached_at=2, probe={"method": "GET", "url": "x"})
    with agent_server(row, service_row("idle", may_break=False, can=["restart"], bounds={})) as server:
        agent = Agent(TargetSettings(url=server.url, token="t"))
        status = agent.status("payments")
        assert status.capabilities == {"restart", "start", LEASE, PROBE, "fault:hang"}
        assert (status.held_faults, status.longest_fault_s, status.host) == ({"hang"}, 120.0, None)
        assert (agent.status("idle").may_break, agent.status("idle").longest_fault_s) == (False, 0.0)
        assert agent.name == server.name
        with pytest.raises(OutOfReachError, match="has no service 'nobody'"):
            agent.status("nobody")
        agent.close()


def test_the_agent_sends_the_probe() -> None:
    """A request that fails on the host is a sample, not an error; an unknown service is one."""
    with agent_server(service_row("payments")) as server:
        agent = Agent(TargetSettings(url=server.url, token="t"))
        assert agent.probe("payments").ok
        agent.begin_fault("payments", "hang", seconds=30, key="k")
        sample = agent.probe("payments")
        assert (sample.ok, sample.reason) == (False, "ReadTimeout")
        for strange in ("nobody", "..", "a/b"):
            with pytest.raises(TargetError):
                agent.probe(strange)
        agent.close()


def test_refusals_are_the_agents_own_sentence() -> None:
    """Wrong token, too long, stopped: what the agent says, and no JSON around it."""
    with agent_server(service_row("payments")) as server:
        agent = Agent(TargetSettings(url=server.url, token="t"))
        with pytest.raises(TargetError, match=r"POST /faults: 403 agent\.yaml: bounds\.seconds is 120$"):
            agent.begin_fault("payments", "hang", seconds=1000, key="long")
        agent.stop()
        with pytest.raises(TargetError, match="409 faults are stopped"):
            agent.begin_fault("payments", "hang", seconds=1, key="late")
        agent.resume()
        assert agent.begin_fault("payments", "hang", seconds=1, key="late")
        agent.close()
        stranger = Agent(TargetSettings(url=server.url, token="wrong"))
        with pytest.raises(TargetError, match="401 the token is wrong") as refused:
            stranger.services()
        assert not refused.value.retry
        stranger.close()


@pytest.mark.parametrize("change", [{"can": None}, {"bounds": "many"}, {"bounds": {"seconds": "many"}}, {"state": ...}])
def test_rows_of_another_form_are_an_error(change: dict[str, object]) -> None:
    """Nothing is made up for what cannot be read."""
    row = service_row("payments") | change
    with agent_server({name: value for name, value in row.items() if value is not ...}) as server:
        agent = Agent(TargetSettings(url=server.url, token="t"))
        with pytest.raises(TargetError, match="answers /services in another form"):
            agent.services()
        agent.close()


def test_verbs_and_leases_are_the_control_apis() -> None:
    """What a supervisor's API takes, an agent takes."""
    with agent_server(service_row("payments")) as server:
        agent = Agent(TargetSettings(url=server.url, token="t"))
        assert agent.act("payments", "restart", key="k") == "restart of payments"
        assert agent.lease(Lease(service="payments", verb="start", after_s=9)) == "l1"
        agent.close()


def _certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """A key and a certificate for 127.0.0.1, signed by itself or by `issuer`."""
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    signed = ["-CA", str(folder / f"{issuer}.pem"), "-CAkey", str(folder / f"{issuer}.key")] if issuer else []
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
    subprocess.run([*command, "-days", "2", *subject, *signed, *files], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_mutual_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    """The agent is known by our authority, and we by it; without either there is no answer."""
    for name in ("ca", "stranger"):
        _certificate(tmp_path, name)
    for name in ("agent", "us"):
        _certificate(tmp_path, name, issuer="ca")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    tls.load_cert_chain(tmp_path / "agent.pem", tmp_path / "agent.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    with agent_server(service_row("payments"), tls=tls) as server:
        ours = {"cert_file": tmp_path / "us.pem", "key_file": tmp_path / "us.key"}
        agent = Agent(TargetSettings(url=server.url, token="t", ca_file=tmp_path / "ca.pem", **ours))
        assert set(agent.services()) == {"payments"}
        agent.close()
        for wrong in ({"ca_file": tmp_path / "stranger.pem", **ours}, {"ca_file": tmp_path / "ca.pem"}):
            agent = Agent(TargetSettings(url=server.url, token="t", **wrong))
            with pytest.raises(TargetError, match="does not answer"):
                agent.services()
            agent.close()
    with pytest.raises(TargetError, match=r"cert_file: .*missing\.pem cannot be used: .*No such file"):
        Agent(TargetSettings(url=server.url, cert_file=tmp_path / "missing.pem"))
