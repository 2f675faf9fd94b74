"""What the agent makes of each answer to a body: send the next one, the same again, or set it aside."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from agent.telemetry.alerts import Alert, Alerts, AlertSender
from agent.telemetry.body import Body
from agent.telemetry.body_log import BodyLog, Bounds
from agent.telemetry.forwarder import FAILURES_OF_ONE, Forwarder
from agent.telemetry.platform import Platform
from agent.telemetry.section import TelemetrySection
from tests.served import served

OK = (200, {"Content-Type": "application/x-protobuf"}, "")


@dataclass
class Scripted:
    """A platform that answers as it is told, and 200 afterwards."""

    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    seen: list[tuple[str, bytes, str]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, await request.read(), request.headers.get("Authorization", "")))
        self.at.append(asyncio.get_running_loop().time())
        status, headers, text = self.answers.pop(0) if self.answers else OK
        return web.Response(status=status, headers=headers, body=text.encode())

    @property
    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/{path:.*}", self.answer)
        return application


@pytest.fixture
def platform() -> Iterator[tuple[Scripted, str]]:
    scripted = Scripted()
    with served(scripted.application) as url:
        yield scripted, url


@dataclass
class Forwarded:
    """One forwarder over a log of its own."""

    log: BodyLog
    forwarder: Forwarder
    reports: list[str]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(120):
            while not holds():  # noqa: ASYNC110 - what changes is no event's
                await asyncio.sleep(0.01)


def forward(
    folder: Path,
    section: TelemetrySection,
    use: Callable[[Forwarded], Awaitable[None]],
    *texts: str,
    wait_s: float = 0.1,
) -> list[str]:
    """Put bodies into a log, and forward them while `use` runs; what was reported."""
    reports: list[str] = []

    async def run() -> None:
        log = BodyLog(folder, Bounds(bytes=1 << 20, age_s=1e12, keep_free_bytes=0), reports.append)
        to = Platform(section)
        made = Forwarded(log, Forwarder(log, to, reports.append, first_wait_s=wait_s, longest_wait_s=wait_s), reports)
        for text in texts:
            await log.append(Body(signal="logs", data=text.encode(), at=1.0))
        task = asyncio.create_task(made.forwarder.run())
        try:
            await use(made)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await made.forwarder.close()
            await log.close()
            await to.close()

    asyncio.run(run())
    return reports


def all_sent(count: int) -> Callable[[Forwarded], Awaitable[None]]:
    async def use(made: Forwarded) -> None:
        await made.until(lambda: made.forwarder.sent == count)
        assert made.log.queued_bytes == 0
        assert made.forwarder.trouble == ""

    return use


def section(url: str, **more: object) -> TelemetrySection:
    return TelemetrySection.model_validate({"to": url, "receive": {"port": 1}, **more})


@pytest.mark.parametrize("status", [429, 503, 502, 504, 408, 500, 401, 403, 404, 302])
def test_what_may_pass_is_sent_again(platform: tuple[Scripted, str], tmp_path: Path, status: int) -> None:
    """The same body, then the next one; nothing is set aside, and people are told of both turns."""
    scripted, url = platform
    scripted.answers = [(status, {"Location": "/elsewhere"}, "not now"), (status, {}, "not now")]
    reports = forward(tmp_path, section(url), all_sent(2), "a", "b")
    assert [data for _, data, _ in scripted.seen] == [b"a", b"a", b"a", b"b"]
    assert list((tmp_path / "aside").iterdir()) == []
    assert (reports[0].startswith(f"telemetry.waits {url}: "), reports[1:]) == (True, ["telemetry.sent_again"])


def test_the_platform_says_when_to_come_back(platform: tuple[Scripted, str], tmp_path: Path) -> None:
    """Retry-After is kept to."""
    scripted, url = platform
    scripted.answers = [(429, {"Retry-After": "2"}, "")]
    forward(tmp_path, section(url), all_sent(1), "a")
    assert scripted.at[1] - scripted.at[0] >= 2


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_is_refused_for_good_is_set_aside(platform: tuple[Scripted, str], tmp_path: Path, status: int) -> None:
    """With the platform's words, which may be protobuf; the next body is sent at once."""
    scripted, url = platform
    scripted.answers = [(status, {}, "\x08\x03\x12\x0dthe span is bad")]
    forward(tmp_path, section(url), all_sent(1), "a", "b")
    assert [data for _, data, _ in scripted.seen] == [b"a", b"b"]
    (kept,) = (tmp_path / "aside").iterdir()
    assert f'"reason": "{status} the span is bad"' in kept.read_text()
    assert kept.read_text().endswith("\na")


def test_a_body_over_which_the_platform_fails_holds_up_nothing_for_ever(
    platform: tuple[Scripted, str], tmp_path: Path
) -> None:
    """After ten errors of its own, while a request without anything in it is taken, it is set aside."""
    scripted, url = platform
    scripted.answers = [(503, {}, "")] * 11 + [(500, {}, "broken")] * FAILURES_OF_ONE + [OK, (500, {}, "broken")]
    forward(tmp_path, section(url), all_sent(1), "a", "b")
    assert [data for _, data, _ in scripted.seen] == [b"a"] * (11 + FAILURES_OF_ONE) + [b"", b"a", b"b"]
    (kept,) = (tmp_path / "aside").iterdir()
    assert '"reason": "500 broken"' in kept.read_text()


@pytest.mark.parametrize("failures", [40, 41])
def test_a_platform_that_fails_over_everything_loses_nothing(
    platform: tuple[Scripted, str], tmp_path: Path, failures: int
) -> None:
    """However long: the oldest body waits, and all are sent in order when the platform is well again,
    whichever request it takes first."""
    scripted, url = platform
    scripted.answers = [(500, {}, "broken")] * failures
    forward(tmp_path, section(url), all_sent(2), "a", "b", wait_s=0.02)
    bodies = [data for _, data, _ in scripted.seen]
    assert set(bodies[:failures]) == {b"a", b""}
    assert bodies[failures:] in ([b"a", b"b"], [b"", b"a", b"b"])
    assert list((tmp_path / "aside").iterdir()) == []


def test_an_answer_without_words_is_its_status(platform: tuple[Scripted, str], tmp_path: Path) -> None:
    scripted, url = platform
    scripted.answers = [(422, {}, "")]
    forward(tmp_path, section(url), all_sent(1), "a", "b")
    (kept,) = (tmp_path / "aside").iterdir()
    assert '"reason": "422"' in kept.read_text()


def test_a_page_that_answers_for_the_platform_acks_nothing(platform: tuple[Scripted, str], tmp_path: Path) -> None:
    """A proxy's sign-in page is answered with 200, too."""
    scripted, url = platform
    scripted.answers = [(200, {"Content-Type": "text/html"}, "<h1>Sign in</h1>")]
    forward(tmp_path, section(url), all_sent(1), "a")
    assert [data for _, data, _ in scripted.seen] == [b"a", b"a"]


def test_such_a_page_acks_no_alert_either(platform: tuple[Scripted, str], tmp_path: Path) -> None:
    """It is sent again, and told once."""
    scripted, url = platform
    scripted.answers = [(200, {"Content-Type": "text/html"}, "<h1>Sign in</h1>")]
    alerts = Alerts(tmp_path / "alerts.json", {})
    alerts.begin(Alert(key="k", name="ServiceGone", service="s", summary="s is gone", labels={}, starts_at=1.0))

    async def run() -> None:
        to = Platform(section(url))
        task = asyncio.create_task(AlertSender(alerts, to, lambda _: None).run())
        async with asyncio.timeout(120):
            while alerts.due(time.time()):  # noqa: ASYNC110 - what changes is no event's
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        await to.close()

    asyncio.run(run())
    assert len(scripted.seen) == 2


def test_a_token_that_was_replaced_is_read_again(platform: tuple[Scripted, str], tmp_path: Path) -> None:
    """After the platform refused the old one."""
    scripted, url = platform
    token = tmp_path / "token"
    token.write_text("the-old-one")
    scripted.answers = [(401, {}, "")]

    async def use(made: Forwarded) -> None:
        await made.until(lambda: made.forwarder.trouble)
        assert "it refuses the agent's token" in made.forwarder.trouble
        token.write_text("the-new-one\n")
        scripted.answers = [(401, {}, "")]
        await made.until(lambda: made.forwarder.sent == 1)

    forward(tmp_path / "log", section(url, token_file=str(token)), use, "a")
    assert scripted.seen[0][2] == "Bearer the-old-one"
    assert scripted.seen[-1][2] == "Bearer the-new-one"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl makes certificates here")
def test_the_platform_must_show_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    """By `ca`, or the system; else nothing is sent to it."""
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *subject]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    scripted = Scripted()
    with served(scripted.application, context) as url:

        async def refused(made: Forwarded) -> None:
            await made.until(lambda: made.forwarder.trouble)
            assert "certificate" in made.forwarder.trouble

        forward(tmp_path / "log", section(url), refused, "a")
        assert scripted.seen == []
        forward(tmp_path / "log", section(url, tls={"ca": str(tmp_path / "cert.pem")}), all_sent(1))
    assert scripted.seen == [("/v1/logs", b"a", "")]
