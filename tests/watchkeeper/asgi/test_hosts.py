"""Which names and pages a port answers to."""

from __future__ import annotations

import pytest

from watchkeeper.asgi.hosts import Names, is_foreign, name_of

LOCAL = Names(listens="127.0.0.1", own="watch.example")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8050", "localhost", "LOCALHOST:80", "localhost.:8050", "[::1]:8050", "127.8.9.1",
     "watch.example", "Watch.Example.:443"],
)  # fmt: skip
def test_it_answers_to_its_own_names(host: str) -> None:
    """With and without port, final dot and capitals."""
    assert LOCAL.fit(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8050", "127.0.0.1.evil.example", "localhost.evil.example", "watch.example.evil",
     "127.0.0.1@evil.example", "evil.example#127.0.0.1", "evil.example/127.0.0.1", "[::1", "::1", "[::1]evil.example",
     "localhost:80:80", "localhost:x", "local host", "10.0.0.1", "0.0.0.0", "localhost\t", "xn--80ak6aa92e.com",
     "127.0.0.1,evil.example", "[fe80::1%25lo]", "..", "localhost..", "\u212aelvin"],
)  # fmt: skip
def test_a_foreign_or_senseless_name_does_not_fit(host: str) -> None:
    """Neither a name that was made to point here, nor one that only looks like ours."""
    assert not LOCAL.fit(host)


def test_beyond_loopback_a_numeric_address_fits_and_a_foreign_name_does_not() -> None:
    """No page can make a browser send a numeric address that is not the page's own."""
    wide = Names(listens="0.0.0.0", own="watch.example")
    assert wide.fit("10.0.0.1:8050")
    assert wide.fit("[2001:db8::1]:8050")
    assert not wide.fit("evil.example")


@pytest.mark.parametrize(
    ("origin", "host"),
    [(None, "127.0.0.1:8050"), ("http://127.0.0.1:8050", "127.0.0.1:8050"), ("http://LOCALHOST:8050", "localhost:8050"),
     ("http://[::1]:8050", "[::1]:8050"), ("https://watch.example", "watch.example:8050"),
     ("https://watch.example", "watch.example"), ("http://127.0.0.1", "127.0.0.1")],
)  # fmt: skip
def test_its_own_pages_are_at_home(origin: str | None, host: str) -> None:
    """The port must be the same, or be the one that readers know."""
    assert not is_foreign(origin, host, "https://watch.example/")


@pytest.mark.parametrize(
    ("origin", "host"),
    [("null", "127.0.0.1:8050"), ("http://127.0.0.1:1", "127.0.0.1:8050"), ("http://evil.example", "127.0.0.1:8050"),
     ("http://localhost:8050", "127.0.0.1:8050"), ("http://127.0.0.1:8050.evil.example", "127.0.0.1:8050"),
     ("http://evil.example@127.0.0.1:8050", "127.0.0.1:8050"), ("http://127.0.0.1:8050/x", "127.0.0.1:8050"),
     ("file://", "127.0.0.1:8050"), ("", "127.0.0.1:8050"), ("http://[", "127.0.0.1:8050"),
     ("http://watch.example.evil", "watch.example"), ("http://127.0.0.1:99999", "127.0.0.1:8050"),
     ("https://watch.example:9999", "watch.example:8050"), ("http://watch.example", "watch.example:8050"),
     ("https://watch.example:9999", "watch.example"), ("chrome-extension://abc", "127.0.0.1:8050"),
     ("http://127.0.0.1:8050, http://evil.example", "127.0.0.1:8050")],
)  # fmt: skip
def test_every_other_page_is_foreign(origin: str, host: str) -> None:
    """Another site, another port of this machine, and what is no site at all."""
    assert is_foreign(origin, host, "https://watch.example")


def test_a_name_that_cannot_be_read_is_no_name() -> None:
    """And never an exception."""
    assert name_of("\x00") == name_of("a" * 400) == name_of("[]") == ""
