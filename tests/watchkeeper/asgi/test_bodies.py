"""Bodies are counted while they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from watchkeeper.asgi.bodies import Bodies, BodyRejected, Gone, Limits

LIMITS = Limits(otherwise=100, paths={"/large": 1000, "/large/small": 10})


def scope(path: str = "/", declared: str | None = None) -> dict[str, Any]:
    return {"type": "http", "path": path, "headers": [(b"content-length", declared.encode())] if declared else []}


def pieces(*parts: bytes, gone: bool = False) -> Any:
    """A `receive` that gives these parts, and then nothing for ever."""

    async def stream() -> AsyncIterator[dict[str, Any]]:
        for number, part in enumerate(parts):
            yield {"type": "http.request", "body": part, "more_body": gone or number < len(parts) - 1}
        if gone:
            yield {"type": "http.disconnect"}
        await asyncio.Event().wait()

    return stream().__anext__


async def test_a_body_within_its_limit_is_whole() -> None:
    """However many pieces it comes in."""
    assert await Bodies(LIMITS).complete(scope(), pieces(b"a" * 50, b"", b"b" * 50)) == b"a" * 50 + b"b" * 50
    assert await Bodies(LIMITS).complete(scope("/large"), pieces(b"a" * 1000)) == b"a" * 1000


@pytest.mark.parametrize(("path", "size"), [("/", 101), ("/large", 1001), ("/large/small", 11)])
async def test_a_body_over_the_limit_of_its_path_is_refused(path: str, size: int) -> None:
    """By what it declares, before anything is read, and by what arrives."""
    with pytest.raises(BodyRejected) as refused:
        await Bodies(LIMITS).complete(scope(path, declared=str(size)), pieces())
    assert refused.value.status == 413
    with pytest.raises(BodyRejected) as refused:
        await Bodies(LIMITS).complete(scope(path), pieces(*[b"x"] * size))
    assert refused.value.status == 413


@pytest.mark.parametrize("declared", ["-1", "1e9", "9" * 30, "\u0661"])
async def test_a_length_that_is_no_number_is_refused(declared: str) -> None:
    """It is not guessed at."""
    with pytest.raises(BodyRejected):
        await Bodies(LIMITS).complete(scope(declared=declared), pieces())


async def test_a_body_that_stops_coming_is_refused() -> None:
    """The sender gets an answer; the place is free again."""
    with pytest.raises(BodyRejected) as refused:
        await Bodies(LIMITS, deadline_s=0.01).complete(scope(), _endless())
    assert refused.value.status == 408


async def test_a_sender_who_leaves_is_no_error() -> None:
    """Nobody is there to be answered."""
    with pytest.raises(Gone):
        await Bodies(LIMITS).complete(scope(), pieces(b"a", gone=True))


async def test_slow_senders_make_room_for_others() -> None:
    """When all bodies together are too large, whoever has been sending longest goes; the newest is served."""
    bodies = Bodies(Limits(otherwise=100), most_bytes=250)
    slow = [asyncio.create_task(bodies.complete(scope(), _endless(b"x" * 90))) for _ in range(2)]
    await asyncio.sleep(0)
    assert await bodies.complete(scope(), pieces(b"y" * 100)) == b"y" * 100
    with pytest.raises(BodyRejected) as refused:
        await slow[0]
    assert refused.value.status == 408
    assert not slow[1].done()
    slow[1].cancel()


def _endless(first: bytes = b"a") -> Any:
    """A `receive` that gives one piece, says that there is more, and never gives it."""

    async def stream() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "http.request", "body": first, "more_body": True}
        await asyncio.Event().wait()

    return stream().__anext__
