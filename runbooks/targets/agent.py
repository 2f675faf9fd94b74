"""A target that is an agent of ours on somebody's host: the control API, and faults that the agent holds.

POST   /services/{service}/probe    the agent sends the request, since services may listen on loopback only
POST   /faults                      begin one, once for each `Idempotency-Key`: {"service", "fault", "seconds",
                                    "arguments"}
GET    /faults/{id}                 how it is
DELETE /faults/{id}                 end it now
POST   /stop, POST /resume          end all and refuse new ones; take them again

Nothing here touches the host: even where the agent runs on this machine, its file decides what may be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from runbooks.targets.control_api import ControlApi
from runbooks.targets.http_client import TIMEOUT_S, HttpClient, status_of
from watchkeeper.errors import TargetError
from watchkeeper.target import (
    HELD_STATES,
    PROBE,
    Experience,
    HeldFault,
    Lease,
    ProbeSample,
    ServiceStatus,
    TargetSettings,
)
from watchkeeper.text import one_line

# The agent stops everything within 2 s; it is not waited for much longer.
STOP_TIMEOUT_S: Final = 5.0


class Agent:
    """An agent on a host. Settings: `url`, `token_env`; `ca_file`, `cert_file` and `key_file` for mutual TLS."""

    def __init__(self, settings: TargetSettings) -> None:
        if settings.values:
            raise TargetError(f"settings: an agent takes none, not {', '.join(settings.values)}; its own file has them")
        self._client = HttpClient(settings, "the agent")
        self._control = ControlApi(settings, self._client)

    @property
    def name(self) -> str:
        """What the agent calls itself; its address where it does not."""
        return self._control.name

    def close(self) -> None:
        self._client.close()

    def services(self) -> Mapping[str, ServiceStatus]:
        return {status.service: status for status in self._statuses(TIMEOUT_S)}

    def status(self, service: str, *, timeout_s: float = TIMEOUT_S) -> ServiceStatus:
        for status in self._statuses(timeout_s, service):
            if status.service == service:
                return status
        raise self._client.unknown(service)

    def act(self, service: str, verb: str, *, key: str, arguments: Mapping[str, object] | None = None) -> str:
        return self._control.act(service, verb, key=key, arguments=arguments)

    def lease(self, lease: Lease) -> str:
        return self._control.lease(lease)

    def end_lease(self, lease_id: str) -> None:
        self._control.end_lease(lease_id)

    def probe(self, service: str, *, timeout_s: float = 1.5) -> ProbeSample:
        if service in (".", ".."):
            raise self._client.unknown(service)
        path = f"/services/{quote(service, safe='')}/probe"
        row = self._client.ask("POST", path, json={"timeout_s": timeout_s})
        try:
            return ProbeSample(
                at=float(row["at"]),
                seconds=float(row["seconds"]),
                status=int(row["status"]),
                reason=_words(row.get("reason")),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._client.other_form(path, error) from error

    def experience(self) -> Experience | None:
        return self._control.experience()

    def begin_fault(
        self, service: str, fault: str, *, seconds: float, key: str, arguments: Mapping[str, float | str] | None = None
    ) -> str:
        asked = {"service": service, "fault": fault, "seconds": seconds, "arguments": dict(arguments or {})}
        answer = self._client.ask("POST", "/faults", json=asked, headers={"Idempotency-Key": quote(key, safe=":")})
        if not isinstance(answer, dict) or not answer.get("id"):
            raise self._client.other_form("/faults", "an object with `id` is expected")
        return str(answer["id"])

    def fault(self, fault_id: str) -> HeldFault:
        path = f"/faults/{quote(fault_id, safe='')}"
        row = self._client.ask("GET", path)
        try:
            return _held(row)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._client.other_form(path, error) from error

    def end_fault(self, fault_id: str) -> None:
        self._client.ask("DELETE", f"/faults/{quote(fault_id, safe='')}")

    def stop(self) -> None:
        answer = self._client.ask("POST", "/stop", timeout=STOP_TIMEOUT_S)
        ending = answer.get("ending") if isinstance(answer, dict) else None
        if ending:
            faults = ", ".join(_words(f"{each.get('fault')} of {each.get('service')}") for each in ending)
            raise TargetError(f"{faults} is still ending; the agent goes on, and takes no new faults")

    def resume(self) -> None:
        self._client.ask("POST", "/resume")

    def _statuses(self, timeout_s: float, only: str = "") -> list[ServiceStatus]:
        try:
            return [_status(row) for row in self._client.rows(timeout_s, only)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._client.other_form("/services", error) from error


def _status(row: Mapping[str, Any]) -> ServiceStatus:
    """`can` lists verbs, `lease` and `fault:NAME`; `bounds` has the longest `seconds` of a fault, `lacks` reasons."""
    return status_of(
        row,
        capabilities=frozenset(map(str, row["can"])) | ({PROBE} if row.get("probe") else set()),
        may_break=row.get("may_break") is True,
        stuck=_words(row.get("stuck")),
        longest_fault_s=float((row.get("bounds") or {}).get("seconds") or 0.0),
        lacks=MappingProxyType({str(fault): _words(why) for fault, why in (row.get("lacks") or {}).items()}),
    )


def _words(value: object) -> str:
    """One line of what the agent wrote; empty where it wrote nothing."""
    return one_line(str(value)) if value else ""


def _held(row: Mapping[str, Any]) -> HeldFault:
    state = row["state"]
    if state not in HELD_STATES:
        raise ValueError(f"state {state!r}")
    return HeldFault(
        id=str(row["id"]),
        service=str(row["service"]),
        fault=str(row["fault"]),
        state=state,
        dependency=_words(row.get("dependency")),
        effect=_words(row.get("effect")),
        effect_at=float(row.get("effect_at") or 0.0),
        ends_at=float(row.get("ends_at") or 0.0),
        ended_at=float(row.get("ended_at") or 0.0),
        remains=tuple(one_line(str(each)) for each in row.get("remains") or ()),
        error=_words(row.get("error")),
    )
