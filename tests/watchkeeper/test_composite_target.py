"""Several targets as one: who is asked, what a silent one hides, and what is refused as ambiguous."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.runbooks.agent_server import agent_server, service_row
from watchkeeper import composite_target
from watchkeeper.composite_target import CompositeTarget
from watchkeeper.config import load, read
from watchkeeper.errors import ConfigError, OutOfReachError, TargetError
from watchkeeper.roles import doctor
from watchkeeper.roles.preflight import notes
from watchkeeper.target import (
    Experience,
    Lease,
    NoTarget,
    ServiceStatus,
    TargetSettings,
    configured_target,
    open_target,
    own_name,
)


class Memory(NoTarget):
    """Has some services, remembers what it was asked, and answers nothing while it is `down`. Holds no faults."""

    def __init__(self, name: str, *services: str, seen: Experience | None = None) -> None:
        super().__init__("not in memory")
        self.name = name
        self.down = False
        self.asked: list[str] = []
        self._services = services
        self._seen = seen

    def services(self) -> Mapping[str, ServiceStatus]:
        if self.down:
            raise TargetError(f"{self.name} does not answer", retry=True)
        return {name: ServiceStatus(service=name, state="running", version=self.name) for name in self._services}

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        return self.services()[service]

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        self.asked.append(f"{verb} {service} {key}")
        return f"{self.name}: {verb}"

    def lease(self, lease: Lease) -> str:
        self.asked.append(f"lease {lease.service}")
        return "7"

    def end_lease(self, lease_id: str) -> None:
        self.asked.append(f"end {lease_id}")

    def experience(self) -> Experience | None:
        return self._seen

    def stop(self) -> None:
        if self.down:
            raise TargetError(f"{self.name} does not answer")
        self.asked.append("stop")


def composite(*targets: Memory) -> CompositeTarget:
    return CompositeTarget({target.name: target for target in targets}, name="a + b")


def test_each_question_goes_to_the_target_that_has_the_service() -> None:
    """Verbs, leases and their ends reach the right one, under the service's own name."""
    one, two = Memory("one", "cart"), Memory("two", "orders")
    both = composite(one, two)
    assert set(both.services()) == {"cart", "orders"}
    assert both.status("orders").version == "two"
    assert both.act("orders", "restart", key="k") == "two: restart"
    assert both.act("one/cart", "restart", key="k") == "one: restart"
    lease = both.lease(Lease(service="orders", verb="start", after_s=1))
    both.end_lease(lease)
    assert one.asked == ["restart cart k"]
    assert two.asked == ["restart orders k", "lease orders", "end 7"]
    assert both.name == "a + b"
    assert composite(one).name == "one"


def test_a_service_of_two_targets_must_be_written_out() -> None:
    """Its name alone is refused with both names; each of these works, and both are listed."""
    one, two = Memory("one", "cart", "web"), Memory("two", "cart")
    both = composite(one, two)
    assert set(both.services()) == {"one/cart", "two/cart", "web"}
    assert both.ambiguous == {"cart": ("one/cart", "two/cart")}
    for ask in (both.status, lambda name: both.act(name, "restart", key="k")):
        with pytest.raises(TargetError, match="cart is a service of several targets; write one/cart or two/cart"):
            ask("cart")
    assert (both.status("two/cart").service, both.status("two/cart").version) == ("two/cart", "two")
    both.act("two/cart", "restart", key="k")
    assert (one.asked, two.asked) == ([], ["restart cart k"])


def test_what_was_ambiguous_stays_so_while_one_of_them_is_silent() -> None:
    """The wrong service must not be restarted because the right one's target is down."""
    one, two = Memory("one", "cart"), Memory("two", "cart")
    both = composite(one, two)
    both.services()
    two.down = True
    both.services()
    with pytest.raises(TargetError, match="several targets"):
        both.act("cart", "restart", key="k")
    assert one.asked == []


def test_a_silent_target_hides_no_other() -> None:
    """The others' services are listed and reached; what may be its own is an error that can be tried again."""
    one, two = Memory("one", "cart"), Memory("two", "orders")
    two.down = True
    both = composite(one, two)
    assert set(both.services()) == {"cart"}
    assert both.unanswered == {"two": "two does not answer"}
    assert both.act("cart", "restart", key="k") == "one: restart"
    with pytest.raises(TargetError, match="two does not answer") as error:
        both.status("orders")
    assert error.value.retry
    assert not isinstance(error.value, OutOfReachError)
    two.down = False
    assert both.status("orders").version == "two"
    with pytest.raises(OutOfReachError, match="no target has a service 'nobody'; the targets are one, two"):
        both.status("nobody")
    one.down = two.down = True
    with pytest.raises(TargetError, match="one: one does not answer; two: two does not answer"):
        both.services()


def test_a_target_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts the connection and says nothing: the others are listed after the patience, not after its time-out."""
    monkeypatch.setattr(composite_target, "PATIENCE_S", 0.5)
    with agent_server(service_row("web")) as server, agent_server(service_row("cart")) as fine:
        server.silent = True
        targets = {
            name: open_target("agent", TargetSettings(url=each.url, token="t"))
            for name, each in (("hangs", server), ("fine", fine))
        }
        both = CompositeTarget(targets, name="x")
        assert set(both.services()) == {"cart"}
        assert both.unanswered == {"hangs": "the target hangs does not answer within 0.5 s"}
        server.silent = False
        both.close()


def test_a_target_with_a_bug_hides_no_other() -> None:
    """Another package's exception is that target's failure."""

    class Odd(Memory):
        def services(self) -> Mapping[str, ServiceStatus]:
            raise KeyError("row")

    both = composite(Odd("odd"), Memory("one", "cart"))
    assert set(both.services()) == {"cart"}
    assert both.unanswered == {"odd": "the target odd cannot be asked: KeyError: 'row'"}


def test_customers_of_all_targets_count() -> None:
    """Sums, and the slowest; a target that does not measure says nothing."""
    seen = [Experience(sent=10, failed=1, p95_ms=90), Experience(sent=5, failed=0, p95_ms=400)]
    both = composite(Memory("one", seen=seen[0]), Memory("two", seen=seen[1]), Memory("three"))
    assert both.experience() == Experience(sent=15, failed=1, p95_ms=400)
    assert composite(Memory("one"), Memory("two")).experience() is None


def test_stop_reaches_all_and_names_those_that_it_did_not() -> None:
    """One that is down keeps nobody else from being stopped."""
    one, two = Memory("one", "cart"), Memory("two", "orders")
    two.down = True
    with pytest.raises(TargetError, match="two does not answer"):
        composite(two, one).stop()
    assert one.asked == ["stop"]


def test_faults_go_by_target() -> None:
    """An id leads back to its target; one that holds no faults refuses, and another package's may lack the methods."""
    with agent_server(service_row("web")) as server:
        bare = type("Bare", (), {"services": lambda _: {"cart": Memory("bare", "cart").services()["cart"]}})()
        host = open_target("agent", TargetSettings(url=server.url, token="t"))
        both = CompositeTarget({"host": host, "bare": bare}, name="x")
        fault = both.begin_fault("web", "hang", seconds=5, key="k")
        assert fault == "host/f0"
        assert (both.fault(fault).id, both.fault(fault).state) == ("host/f0", "holding")
        both.end_fault(fault)
        assert server.faults["f0"]["state"] == "ended"
        with pytest.raises(TargetError, match="the target of cart holds no faults"):
            both.begin_fault("cart", "hang", seconds=5, key="k")
        both.stop()
        assert server.stopped
        both.resume()
        assert not server.stopped
        with pytest.raises(TargetError, match="is of none of the targets host, bare"):
            both.end_fault("f0")
        host.close()


def _config(folder: Path, text: str) -> Path:
    path = folder / "w.yaml"
    path.write_text(text)
    return path


def test_the_configuration_names_several_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its own address and token; one that cannot be opened answers with its reason, and hides no other."""
    monkeypatch.setenv("T_TOKEN", "t")
    monkeypatch.delenv("T_NONE", raising=False)
    with agent_server(service_row("web")) as server:
        text = f"""targets:
  host: {{kind: agent, url: "{server.url}", token_env: T_TOKEN}}
  moon: {{kind: teleporter}}
  gone: {{url: "http://127.0.0.1:9", token_env: T_NONE}}
"""
        target = configured_target(load(_config(tmp_path, text)))
        assert isinstance(target, CompositeTarget)
        assert set(target.services()) == {"web"}
        assert target.unanswered["moon"].startswith(
            "targets.moon: there is no target kind 'teleporter'. Choose one of "
        )
        assert "targets.gone.token_env names the environment variable T_NONE" in target.unanswered["gone"]
        assert target.name == " + ".join(sorted(["http://127.0.0.1:9", server.url, "moon"]))
        target.close()


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("runbooks:\n  target: {url: 'http://x'}\n", "2: runbooks.target: was renamed; write `targets: {NAME: {kind"),
        ("targets:\n  a/b: {}\n", "2: targets.a/b: "),
        ("targets:\n  a:\n    key_file: k\n", "targets.a: key_file is the key of cert_file; add cert_file"),
        ("targets:\n  a: {url: 'http://x', ca_file: c}\n", "targets.a: ca_file and cert_file are for https"),
        ("targets:\n  a: {address: 1}\n", "2: targets.a.address: no such key"),
    ],
)
def test_mistakes_name_the_key(tmp_path: Path, text: str, mistake: str) -> None:
    """The old key leads to the new one; a name that could not be told from a service's is refused."""
    with pytest.raises(ConfigError) as error:
        read(_config(tmp_path, text))
    assert mistake in error.value.message


def test_paths_are_relative_to_the_file_and_settings_are_left_alone(tmp_path: Path) -> None:
    """As everywhere else in it; `${…}` in settings is the kind's own to read."""
    text = "targets:\n  a: {url: 'https://x', ca_file: tls/ca.pem, settings: {template: '${SERVICE}-svc'}}\n"
    section = load(_config(tmp_path, text)).targets["a"]
    assert section.ca_file == tmp_path / "tls/ca.pem"
    assert section.settings == {"template": "${SERVICE}-svc"}


def test_doctor_and_validate_ask_every_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that accepts the token, one that does not, one that is not there, and a service that two have."""
    monkeypatch.setenv("T_TOKEN", "t")
    free = socket.create_server(("127.0.0.1", 0))
    gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    free.close()
    with agent_server(service_row("web"), service_row("cart")) as one, agent_server(service_row("web")) as two:
        two.token = "another"
        text = f"""data_dir: data
targets:
  one: {{kind: agent, url: "{one.url}", token_env: T_TOKEN}}
  again: {{kind: agent, url: "{one.url}", token_env: T_TOKEN}}
  two: {{kind: agent, url: "{two.url}", token_env: T_TOKEN}}
  gone: {{kind: agent, url: "{gone}"}}
"""
        file = read(_config(tmp_path, text))
        results = doctor.targets(file.config)
        seen = {result.check: result for result in results}
        assert (seen["target one"].status, seen["target one"].seen) == ("ok", "agent answers; 2 services")
        assert seen["target two"].status == "problem"
        assert seen["target two"].advice == "Its server does not accept the token: compare it with T_TOKEN."
        assert seen["target gone"].status == "problem"
        assert "does not answer" in seen["target gone"].seen
        doubles = [result for result in results if result.check == "target"]
        assert [double.seen.split()[0] for double in doubles] == ["cart", "web"]
        assert "Write one/cart or again/cart" in doubles[0].advice
        lines = [line for line in notes(file) if "targets" in line]
        assert any(line.startswith(f"{tmp_path}/w.yaml:5: targets.two: GET /services: 401 the token") for line in lines)
        assert any("targets: web is a service of several targets" in line for line in lines)
        assert not any("targets" in line for line in notes(file, environment=False))


def test_the_own_name_of_a_service_is_what_telemetry_has() -> None:
    """What an experiment is recorded about must be found among incidents."""
    assert [own_name(name) for name in ("web", "hosts/web")] == ["web", "web"]
