"""What every source must do, as a suite of tests: for Watchkeeper's own and for those of other packages.

A source of another package names its trial (collectors/trials.py): a static method `trial()` of its class. The suite
runs the source as the ingest role does, with a real ingest log, and plays its sender or the page that it reads.
"""

from __future__ import annotations

import inspect
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from collectors.ingest_log.segments import IngestLog, OverloadedError
from collectors.receivers.http import HttpPort
from collectors.receivers.otlp import Intake
from collectors.receivers.otlp_limits import Limits
from collectors.registry import accept, sources
from collectors.running import LOOP, STOP_WITHIN_S, RunningSources
from collectors.source import RegisteredSource, SourceContext
from collectors.trials import Posted, Reading, Trial, built_in
from watchkeeper.config import Config
from watchkeeper.errors import IngestLogError
from watchkeeper.parts import Part, Registry
from watchkeeper.problems import Problem, Problems
from watchkeeper.vocabulary import AlertNotice, ChangeEvent

if TYPE_CHECKING:
    from collectors.webhooks.alert_episodes import Recorded

Check = Callable[[RegisteredSource], None]
WITHIN_S: Final = 30.0  # generous: the machine may be busy
UNANSWERED_S: Final = 0.3  # so long a sender must still wait once its request has reached the ingest log


def source_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every source must pass, over `parts` (classes by name) or over all that are registered."""
    import pytest

    given = None if parts is None else {name: accept(name, part) for name, part in parts.items()}
    by_name = sources().values() if given is None else given

    class SourceSuite:
        @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
        @pytest.mark.parametrize("name", sorted(by_name))
        def test_source(self, name: str, check: Check) -> None:
            check(by_name[name])

    return SourceSuite


def it_is_described(source: RegisteredSource) -> None:
    """The class has a docstring, whose first line lists and pages show, and a trial."""
    assert (inspect.getdoc(source.make) or "").strip(), "it has no docstring"
    _trial(source, "")


def it_opens(source: RegisteredSource) -> None:
    """With its section configured it is started, and nothing is reported of it."""
    with _running(source) as rig:
        assert rig.running.names == (source.name,), f"its section {source.section} is configured, but it isn't started"
        assert not rig.named(LOOP), f"it was not opened: {rig.named(LOOP)}"


def it_confirms_only_what_is_synced(source: RegisteredSource) -> None:
    """While the disk does not answer, its sender waits; afterwards the sender hears that the request was taken."""
    with _running(source) as rig:
        if isinstance(rig.trial, Reading):
            return
        rig.gate.open.clear()
        sending = _in_thread(lambda: rig.send(rig.good()))
        _wait(lambda: rig.gate.asked > 0 or sending.done(), "a good request does not reach the intake or a sink")
        time.sleep(UNANSWERED_S)
        early = sending.done()
        rig.gate.open.set()
        answer = sending.result(WITHIN_S)
        assert not early, "it answered before the request was synced"
        assert answer.accepted, f"it rejected a good request: {answer.text}"


def it_rejects_what_is_malformed(source: RegisteredSource) -> None:
    """The sender, or for a page the operator, gets words to act on; what comes next is taken."""
    with _running(source) as rig:
        for body in rig.trial.malformed:
            if isinstance(rig.trial, Reading):
                rig.page = body
                _wait(lambda: rig.named(rig.origin), f"the page {body[:40]!r} is not reported with the origin")
                rig.page = rig.trial.good
                _wait(lambda: not rig.named(rig.origin), "a good page does not solve the problem of a malformed one")
                continue
            answer = rig.send(body)
            assert not answer.accepted, f"it accepted {body[:40]!r}"
            assert not answer.retry, f"it asks to send {body[:40]!r} again, which cannot help"
            assert answer.text.strip(), f"it rejected {body[:40]!r} without a reason"
            assert "Traceback" not in answer.text, "its answer is a traceback"
            answer = rig.send(rig.good())
            assert answer.accepted, f"after {body[:40]!r} it rejects a good request: {answer.text}"
        taken = rig.gate.asked
        _wait(lambda: rig.gate.asked > taken or isinstance(rig.trial, Posted), "nothing is taken any more")


def it_asks_to_retry_when_nothing_can_be_taken(source: RegisteredSource) -> None:
    """A full backlog is an error that the sender retries, and the source outlives it."""
    with _running(source) as rig:
        rig.gate.is_full = True
        if isinstance(rig.trial, Posted):
            answer = rig.send(rig.good())
            assert not answer.accepted, "it accepted what the intake rejected"
            assert answer.retry, f"its sender is not asked to retry: {answer.text}"
        else:
            _wait(lambda: rig.named(rig.origin), "what the intake rejected is not reported with the origin's address")
        rig.gate.is_full = False
        taken = rig.gate.asked
        if isinstance(rig.trial, Posted):
            assert rig.send(rig.good()).accepted, "it does not go on after the backlog was full"
        _wait(lambda: rig.gate.asked > taken, "it does not go on after the backlog was full")


def it_names_an_origin_that_is_away(source: RegisteredSource) -> None:
    """A page that cannot be reached is a problem with its address, and one that comes back is read."""
    with _running(source, is_away=True) as rig:
        if isinstance(rig.trial, Posted):
            return
        _wait(lambda: rig.named(rig.origin), "an unreachable origin is not reported with its address")


def it_stops_when_asked(source: RegisteredSource) -> None:
    """Within the time that the role waits, and with nothing running behind it."""
    with _running(source) as rig:
        rig.stop.set()
        began = time.monotonic()
        rig.running.join()
        assert time.monotonic() - began < STOP_WITHIN_S, f"it did not stop within {STOP_WITHIN_S:g} s"


CHECKS: Final[Sequence[Check]] = (
    it_is_described,
    it_opens,
    it_confirms_only_what_is_synced,
    it_rejects_what_is_malformed,
    it_asks_to_retry_when_nothing_can_be_taken,
    it_names_an_origin_that_is_away,
    it_stops_when_asked,
)


class _Gate:
    """Stands before the ingest log and the sinks: counts what arrives, and delays or rejects it."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_full = False
        self.open = threading.Event()
        self.open.set()

    def arrive(self) -> None:
        if self.is_full:
            raise OverloadedError(2 << 20, 1 << 20)
        self.asked += 1


class _GatedLog(IngestLog):
    """A real ingest log whose writes are confirmed when the gate is open."""

    gate: _Gate

    def append(self, *given: Any, **named: Any) -> Future[None]:
        self.gate.arrive()
        written = super().append(*given, **named)
        return written if self.gate.open.is_set() else _in_thread(lambda: self._confirmed(written))

    def _confirmed(self, written: Future[None]) -> None:
        if not self.gate.open.wait(WITHIN_S):
            raise IngestLogError("the gate stayed closed")
        written.result(WITHIN_S)


class _GatedSinks:
    """Sinks that keep nothing, behind the gate."""

    def __init__(self, gate: _Gate) -> None:
        self._gate = gate

    def alerts(self, notices: Sequence[AlertNotice]) -> Recorded:
        from collectors.webhooks.alert_episodes import Recorded

        self._pass()
        return Recorded(firing=len(notices), resolved=0, late=0)

    def change(self, change: ChangeEvent) -> bool:  # noqa: ARG002 - the sink's signature
        self._pass()
        return True

    def heartbeat(self, name: str) -> None:  # noqa: ARG002 - the sink's signature
        self._pass()

    def _pass(self) -> None:
        self._gate.arrive()
        self._gate.open.wait(WITHIN_S)


class _Rig:
    """One source, running as in the ingest role, and the suite on its other side."""

    def __init__(self, source: RegisteredSource, folder: Path, origin: str) -> None:
        self.origin = origin
        token_of = Config(data_dir=folder)
        self.trial = _trial(source, token_of.secret("commands"))
        self.page = self.trial.good if isinstance(self.trial, Reading) else b""
        given = self.trial.config(origin) if isinstance(self.trial, Reading) else {}
        ingest = {"otlp_grpc_port": 0, **given.get("ingest", {})}
        needed: dict[str, Any] = {source.name: {}} if source.section == f"sources.{source.name}" else {}
        self.config = Config.model_validate(
            {**given, "data_dir": str(folder), "ingest": ingest, "sources": needed | dict(given.get("sources", {}))}
        )
        self.problems = Problems(None)
        self.stop = threading.Event()
        self.gate = _Gate()
        self.log = _GatedLog(folder / "log", segment_bytes=1 << 20, max_backlog_bytes=1 << 30)
        self.log.gate = self.gate
        self.http = HttpPort(self.config)
        self.ports: dict[str, int] = {}
        part = Part(kind="source", name=source.name, version="", origin="", summary="", value=source)
        registry = Registry(kind="source", parts=MappingProxyType({source.name: part}), broken=())
        self.running = RunningSources(registry, self.config, self.problems, self._context_of, self.stop)

    def good(self) -> bytes:
        return self.trial.good() if isinstance(self.trial, Posted) else self.trial.good

    def send(self, body: bytes) -> Any:
        assert isinstance(self.trial, Posted)
        return self.trial.send(self.ports, body)

    def named(self, text: str) -> list[Problem]:
        """The problems that name something."""
        return [each for each in self.problems.current() if text in f"{each.loop} {each.subject} {each.reason}"]

    def _context_of(self, source: RegisteredSource) -> SourceContext:
        return SourceContext(
            name=source.name,
            config=self.config,
            settings=self.config.sources.get(source.name) or {},
            intake=Intake(self.log, Limits.of(self.config)),
            sinks=_GatedSinks(self.gate),
            problems=self.problems,
            stop=self.stop,
            http=self.http.paths(source.name, self.problems),
            listening=self.ports.__setitem__,
        )


def _trial(source: RegisteredSource, token: str) -> Trial:
    own = getattr(source.make, "trial", None)
    trial = own() if own else built_in(token).get(source.name)
    if not isinstance(trial, Posted | Reading):
        raise AssertionError("it has no trial: give its class a static method trial() (collectors/trials.py)")  # noqa: TRY004
    return trial


@contextmanager
def _running(source: RegisteredSource, *, is_away: bool = False) -> Iterator[_Rig]:
    rigs: list[_Rig] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, trial = rigs[0].page, rigs[0].trial
            self.send_response(200)
            self.send_header("Content-Type", trial.content_type if isinstance(trial, Reading) else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with tempfile.TemporaryDirectory() as folder, ThreadingHTTPServer(("127.0.0.1", 0), Page) as origin:
        if is_away:
            origin.socket.close()
        else:
            threading.Thread(target=origin.serve_forever, daemon=True).start()
        rig = _Rig(source, Path(folder), f"127.0.0.1:{origin.server_address[1]}")
        rigs.append(rig)
        rig.running.start(WITHIN_S)
        with _serving(rig.http) as rig.ports["http"]:
            try:
                yield rig
            finally:
                rig.gate.open.set()
                rig.stop.set()
                rig.running.join()
        rig.log.close()
        if not is_away:
            origin.shutdown()


@contextmanager
def _serving(app: HttpPort) -> Iterator[int]:
    """Serve an application on a free port."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, ws="none", lifespan="off", log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _wait(lambda: server.started, "the port is not served")
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(WITHIN_S)


def _in_thread(call: Callable[[], Any]) -> Future[Any]:
    result: Future[Any] = Future()
    result.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result.set_result(call())
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


def _wait(condition: Callable[[], Any], otherwise: str) -> None:
    """Wait until something is so; an AssertionError with `otherwise` where it never is."""
    until = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until, otherwise
        time.sleep(0.02)
