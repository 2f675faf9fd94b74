"""What the agent would send and where, for `watchkeeper agent check`. Sends one empty request, and writes nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from agent.allowed import Allowed
from agent.telemetry.body_log import Bounds
from agent.telemetry.forwarder import why_not
from agent.telemetry.host_readings import filesystems, oom_kills
from agent.telemetry.platform import Platform, describe_failure
from agent.telemetry.section import TelemetrySection
from watchkeeper.durations import duration

ANSWERS_WITHIN_S: Final = 10.0  # a human waits for it


def describe(allowed: Allowed, section: TelemetrySection) -> Iterator[str]:
    """A sentence for each thing that an operator would ask."""
    names = ", ".join(allowed.file.services) or "no service"
    yield (
        f"metrics of this host and of {names} every {duration(section.interval_seconds)}, "
        f"and OTLP that comes to {section.receive.host}:{section.receive.port}, go to {section.to}"
    )
    yield asyncio.run(_answers(section))
    yield _disk(allowed, section)
    mounts = ", ".join(each.mountpoint for each in filesystems() if each.writable) or "none"
    alerts = section.alerts
    yield (
        f"alerts: a service gone for {duration(alerts.gone_seconds)}; less than {alerts.memory_available:.0%} of "
        f"memory available; {mounts} over {alerts.disk_used:.0%} full, or full within "
        f"{duration(alerts.disk_full_within_minutes * 60)}"
        + ("; a process killed for lack of memory" if oom_kills() is not None else "")
    )
    if section.to.startswith("http:") and not _is_loopback(urlsplit(section.to).hostname or ""):
        yield f"note: what is sent, and the token, travel in clear to {section.to}: use https"
    if not _is_loopback(section.receive.host):
        yield f"note: whoever reaches {section.receive.host} may send telemetry through this agent: there is no token"


async def _answers(section: TelemetrySection) -> str:
    """Whether the platform takes an empty request, which it stores nowhere."""
    try:
        platform = Platform(section)
    except ValueError as error:
        return f"nothing can be sent: {error}"
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            answer = await platform.post("/v1/metrics", b"", {"Content-Type": "application/x-protobuf"})
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        return f"the platform does not answer: {describe_failure(error)}"
    finally:
        await platform.close()
    if answer.status == 200:
        return "the platform answers, and takes telemetry from this agent"
    return f"the platform answers, and takes nothing: {why_not(answer)}"


def _disk(allowed: Allowed, section: TelemetrySection) -> str:
    """How much the log may take, and how much there is."""
    bounds = Bounds.of(section.log)
    most = bounds.bytes + bounds.segment_bytes + bounds.aside_bytes
    folder = allowed.file.state_dir / "telemetry"
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    status = os.statvfs(there)
    free = status.f_bavail * status.f_frsize
    text = (
        f"the log in {folder} may take {most >> 20} MiB of disk and keep bodies for {duration(bounds.age_s)}; "
        f"{free >> 20} MiB are free, and {section.log.keep_free_mib} MiB stay free"
    )
    if waiting := _waiting(folder / "bodies"):
        text += f"; it has {waiting >> 20} MiB now"
    return text


def _waiting(folder: Path) -> int:
    total = 0
    for path in folder.glob("*.bodies"):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return host == "localhost"
