"""What the dashboard keeps in memory is bounded, whatever stands in addresses."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from dashboard.reads.cache import MOST, Cache
from dashboard.web.statics import CompressedStatics
from watchkeeper.errors import StoreError


def test_nothing_of_a_key_stays_after_its_reading_failed_or_was_forgotten() -> None:
    """A reader may ask for ten thousand services, with and without a store."""

    def fail() -> None:
        raise StoreError("away")

    cache = Cache(0.0)
    for number in range(10_000):
        with pytest.raises(StoreError):
            cache.get(("red", str(number)), fail)
        cache.get(("log", str(number)), lambda: 1)
        if number % 100 == 0:
            cache.clear()
    assert cache._loading == {}
    assert len(cache._entries) <= MOST


def test_many_keys_at_once_push_out_the_oldest() -> None:
    """Even where none is too old yet."""
    cache = Cache(3600.0)
    for number in range(3 * MOST):
        cache.get(number, lambda: 1)
    assert len(cache._entries) == MOST


async def test_a_static_file_is_kept_once_whatever_its_query(tmp_path: Path) -> None:
    """Its address with another query is the same file."""
    (tmp_path / "large.js").write_text("// nothing\n" * 1000)
    app = FastAPI()
    app.mount("/assets", StaticFiles(directory=tmp_path))
    statics = CompressedStatics(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(statics), base_url="http://127.0.0.1") as client:
        for number in range(50):
            answer = await client.get(f"/assets/large.js?m={number}")
            assert answer.headers["content-encoding"] == "gzip"
            assert len(answer.content) == 11_000
    assert len(statics._kept) == 1
