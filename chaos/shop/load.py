"""Customers: an open-loop stream of journeys with a daily-like wave compressed to minutes.

Arrivals do not wait for answers, as real customers do not. Every second the counts of that second are
written to `load.json`, for probes and for the curious.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from chaos.shop.mesh import Routes
from chaos.shop.topology import PRODUCTS, STATS_FILE
from watchkeeper.child_process import end_with_parent

WAVE_PERIOD_S = 240.0  # a day's rhythm in four minutes
WAVE_HEIGHT = 0.15  # of the rate, up and down
TIMEOUT_S = 4.0  # customers leave
MOST_AT_ONCE = 200  # beyond it a customer is turned away
RATE_FILE = "load-factor"
# Journey → share of arrivals. Every service gets several requests a second.
JOURNEYS = {"home": 0.17, "product": 0.30, "cart": 0.20, "checkout": 0.20, "order": 0.13}


@dataclass(slots=True)
class Second:
    """What customers saw within one second."""

    sent: int = 0
    failed: int = 0
    latencies_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Seen:
    """The second that is being counted: requests as they are sent, answers as they come."""

    second: Second
    stamp: int


def run(data_dir: Path, rate_per_s: float, seed: int) -> None:
    """Send journeys until killed; the parent's death ends this process too."""
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides when it ends
    asyncio.run(_drive(data_dir, rate_per_s, random.Random(seed)))


async def _drive(data_dir: Path, rate_per_s: float, dice: random.Random) -> None:
    routes = Routes(data_dir)
    running: set[asyncio.Task[None]] = set()
    seen = Seen(second=Second(), stamp=int(time.time()))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=MOST_AT_ONCE)) as session:
        async for _ in _arrivals(dice, lambda t: rate_per_s * _wave(t) * _factor(data_dir)):
            if int(time.time()) != seen.stamp:
                _report(data_dir, seen.stamp, seen.second)
                seen.second, seen.stamp = Second(), int(time.time())
            port = routes.port("web")
            if port is None or len(running) >= MOST_AT_ONCE:
                seen.second.failed += 1
                continue
            task = asyncio.create_task(_journey(session, f"http://127.0.0.1:{port}", dice, seen))
            running.add(task)
            task.add_done_callback(running.discard)


def _wave(seconds: float) -> float:
    return 1.0 + WAVE_HEIGHT * math.sin(2 * math.pi * seconds / WAVE_PERIOD_S)


def _factor(data_dir: Path) -> float:
    """The factor of a load wave; 1 where there is none."""
    try:
        factor, until = (data_dir / RATE_FILE).read_text().split()
    except (FileNotFoundError, ValueError):
        return 1.0
    return float(factor) if time.time() < float(until) else 1.0


async def _arrivals(dice: random.Random, rate: Callable[[float], float]) -> AsyncIterator[None]:
    """A Poisson process whose rate may change; late arrivals are made up for, within a second."""
    started = due = time.monotonic()
    while True:
        due = max(due + dice.expovariate(max(rate(due - started), 0.1)), time.monotonic() - 1.0)
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        yield


async def _journey(session: aiohttp.ClientSession, base: str, dice: random.Random, seen: Seen) -> None:
    kind = dice.choices(list(JOURNEYS), list(JOURNEYS.values()))[0]
    customer, product = f"c{dice.randrange(40)}", dice.randrange(1, PRODUCTS + 1)
    method, path, body = {
        "home": ("GET", "/", None),
        "product": ("GET", f"/product/{product}", None),
        "cart": ("POST", f"/cart/{customer}", {"product": product}),
        "checkout": ("POST", f"/checkout/{customer}", None),
        "order": ("GET", f"/order/{dice.randrange(1, 200)}", None),
    }[kind]
    seen.second.sent += 1
    began = time.monotonic()
    try:
        async with session.request(method, base + path, json=body) as response:
            await response.read()
            seen.second.failed += response.status >= 500
    except (aiohttp.ClientError, TimeoutError):
        seen.second.failed += 1
    seen.second.latencies_ms.append((time.monotonic() - began) * 1000)


def _report(data_dir: Path, stamp: int, second: Second) -> None:
    ordered = sorted(second.latencies_ms) or [0.0]
    row = {
        "at": stamp,
        "sent": second.sent,
        "failed": second.failed,
        "p50_ms": round(ordered[len(ordered) // 2], 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 1),
    }
    draft = data_dir / f".{STATS_FILE}"
    draft.write_text(json.dumps(row))
    draft.replace(data_dir / STATS_FILE)
