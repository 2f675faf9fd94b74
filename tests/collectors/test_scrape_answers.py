"""How a target answers a scrape: redirects, compression, size, time and address."""

from __future__ import annotations

import base64
import gzip
import http.server
import socket

import pytest

from tests.collectors.pages import Target, drip
from tests.collectors.scrapes import FINE, metrics_of, once, read, values
from watchkeeper.errors import CollectorError


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_same_server_is_followed(target: Target, status: int) -> None:
    """As Prometheus does; the credentials go along."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path != "/real?token=x":
            handler.send_response(status)
            handler.send_header("Location", "/real?token=x")
            handler.end_headers()
            return
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(FINE.encode())

    target.answer = answer
    assert values(metrics_of(once(f"ana:secret@{target.address}"))["fine"]) == [7]
    sent = "Basic " + base64.b64encode(b"ana:secret").decode()
    assert [headers.get("authorization") for _, headers in target.asked] == [sent, sent]


def test_a_redirect_to_another_host_is_followed_only_where_configured(target: Target) -> None:
    """It says where it would lead, without what secrets the address holds; credentials stay at home."""
    other = Target()
    other.page = FINE
    target.status, target.headers = 302, {"Location": f"http://{other.address}/metrics?token=hunter2"}
    address = f"ana:secret@{target.address}"
    with pytest.raises(CollectorError, match="redirect_hosts") as raised:
        once(address)
    assert other.address in raised.value.message
    assert not any(word in raised.value.message for word in ("hunter2", "secret", "ana"))
    assert other.asked == []
    for allowed in (other.address, "127.0.0.1", "*"):
        assert values(metrics_of(once(address, redirect_hosts=(allowed,)))["fine"]) == [7]
    assert ["authorization" in headers for _, headers in other.asked] == [False] * 3
    other.close()


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/metrics", "over 10 redirects"),
        (None, "without a Location"),
        ("file:///etc/passwd", "not an http or https address"),
        ("javascript:alert(1)", "failed"),
        ("http://[::1", "failed"),
        ("//other.invalid/metrics", "another host"),
        ("http://127.0.0.1:1/metrics", "another host"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_reported(target: Target, location: str | None, words: str) -> None:
    """Loops, other schemes, no address at all."""
    target.status, target.headers = 302, {"Location": location} if location else {}
    with pytest.raises(CollectorError, match=words):
        read(target)


@pytest.mark.parametrize("members", [1, 3])
def test_a_zipped_page_is_unzipped(target: Target, members: int) -> None:
    """Every member of it."""
    pages = [f"m{number} 1\n".encode() for number in range(members)]
    target.page, target.headers = b"".join(map(gzip.compress, pages)), {"Content-Encoding": "gzip"}
    assert len(read(target)) == members + 1


@pytest.mark.parametrize(
    ("page", "encoding", "words"),
    [
        (b"fine 7\n", "gzip", "not gzip"),
        (gzip.compress(b"fine 7\n" * 100, mtime=0)[:-9], "gzip", "cut short"),
        (gzip.compress(b"#" * (64 << 20), mtime=0), "gzip", "max_mib"),
        (b"fine 7\n", "br", "not asked for"),
        (b"#" * (2 << 20), "identity", "max_mib"),
    ],
)
def test_a_page_that_is_too_large_or_badly_zipped_is_refused(
    target: Target, page: bytes, encoding: str, words: str
) -> None:
    """By the bytes after unzipping."""
    target.page, target.headers = page, {"Content-Encoding": encoding}
    with pytest.raises(CollectorError, match=words):
        read(target, max_mib=1, timeout_s=60)


@pytest.mark.parametrize("headers", [False, True])
def test_a_slow_drip_is_given_up_in_time(target: Target, headers: bool) -> None:
    """A byte now and then resets no clock, neither in the page nor in its head."""
    target.answer = drip(b"X: y\r\n" if headers else b"#", headers=headers)
    with pytest.raises(CollectorError, match="timeout_s"):
        read(target, timeout_s=0.5)


def test_a_target_of_ipv6_is_read() -> None:
    """In brackets."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    target = Target(socket.AF_INET6)
    target.page = FINE
    assert values(read(target)["fine"]) == [7]
    target.close()
