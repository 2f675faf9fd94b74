"""A small shop made of numbers: spans, metrics and logs of eight services, with one of them broken."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

CALLS = {
    "web": ("catalogue", "cart", "orders"),
    "catalogue": ("inventory",),
    "cart": ("catalogue",),
    "orders": ("payments", "shipping", "inventory"),
    "payments": (),
    "inventory": (),
    "shipping": (),
}
PORTS = {service: 7000 + number for number, service in enumerate(CALLS)}
ONSET = 1_790_000_000.0
CLIENT_TIMEOUT_S = 3.0
OUTSIDE = "rates.example.com"
CALL_OUTSIDE = ("payments", "shipping")


@dataclass
class Shop:
    """What was recorded, as rows of the exporter's tables."""

    spans: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """What breaks at the onset: latency, network, errors, killed, hung, cpu, database or shortcut.

    `shortcut`: the service answers at once and well, without asking anybody and without its usual line.


    `service` may be `OUTSIDE`, which has no telemetry of its own (then the kind is network). `instance` is the only
    one of the service's that breaks (latency, errors, killed and hung), None for all.
    """

    kind: str
    service: str
    instance: str | None = None
    lasts_s: float = float("inf")
    broken_off: float = 0.0  # share of calls to the service that end early, without a reply


class Simulation:
    """Requests enter at `web` and follow `CALLS`; each service works a little and writes to its own database."""

    def __init__(self, fault: Fault | None, seed: int = 1, instances: int = 1) -> None:
        self.fault = fault
        self.instances = instances
        self.random = random.Random(seed)
        self.shop = Shop()
        self.number = 0
        self.trace = ""

    def run(self, before_s: float = 240.0, after_s: float = 25.0, rate: float = 12.0) -> Shop:
        at = ONSET - before_s
        while at < ONSET + after_s:
            at += self.random.expovariate(rate)
            self.serve("web", at, "", "GET /")
        for service in CALLS:
            for second in range(int(ONSET - before_s), int(ONSET + after_s)):
                everywhere = self.fault is None or self.fault.instance is None
                if everywhere and self.broken(service, second, "killed", "hung"):
                    continue
                busy = 0.9 if self.broken(service, second, "cpu") else 0.05
                self.shop.metrics.append(
                    {
                        "service": service,
                        "at": second,
                        "metric": "process.cpu.utilization",
                        "value": busy * self.random.uniform(0.8, 1.2),
                    }
                )
        horizon = ONSET + after_s
        self.shop.spans = [s for s in self.shop.spans if s["at"] + s["duration"] <= horizon]
        return self.shop

    def broken(self, service: str, at: float, *kinds: str) -> bool:
        fault = self.fault
        return (
            fault is not None and 0 <= at - ONSET < fault.lasts_s and fault.service == service and fault.kind in kinds
        )

    def span(self, **columns: Any) -> str:
        self.number += 1
        name = f"{self.number:016x}"
        if not columns["parent"]:
            self.trace = name
        self.shop.spans.append(
            {"id": name, "trace": self.trace, "message": "", "attributes": {}, "error": False, **columns}
        )
        return name

    def serve(self, service: str, at: float, parent: str, operation: str, instance: str = "") -> tuple[float, bool]:
        """One request: how long it takes, and whether it fails."""
        work = self.random.lognormvariate(0, 0.3) * 0.004
        hit = self.fault is not None and self.fault.instance in (None, instance)
        if hit and self.broken(service, at, "latency"):
            work += 0.8
        if self.broken(service, at, "cpu"):
            work *= 12
        own = self.span(
            service=service, name=operation, kind="Server", at=at, duration=0.0, parent=parent, instance=instance
        )
        row = self.shop.spans[-1]
        now = at + work
        if self.broken(service, at, "shortcut"):
            row.update(duration=work)
            return work, False
        self.log(service, now, own, "INFO", f"serving request {self.number}")
        failed = hit and self.broken(service, at, "errors") and self.random.random() < 0.7
        for callee in CALLS[service]:
            took, bad = self.call(service, callee, now, own)
            now += took
            if bad:  # as most code does: what follows a failed call is not even tried
                failed = True
                self.log(service, now, own, "ERROR", f"cannot go on without {callee}")
                break
        else:
            if service in CALL_OUTSIDE:
                now += self.outside(service, now, own)
            took, bad = self.database(service, now, own)
            now += took
            failed = failed or bad
        row.update(duration=now - at, error=failed)
        if failed and self.random.random() < 0.9:
            text = (
                "database is locked"
                if self.broken(service, at, "database")
                else f"request {self.random.random():.6f} failed"
            )
            self.log(service, now, own, "ERROR", text)
        return now - at, failed

    def log(self, service: str, at: float, span: str, severity: str, body: str) -> None:
        self.shop.logs.append(
            {"service": service, "at": at, "body": body, "severity": severity, "trace": self.trace, "span": span}
        )

    def database(self, service: str, at: float, parent: str) -> tuple[float, bool]:
        locked = self.broken(service, at, "database")
        took = 2.0 if locked else self.random.lognormvariate(0, 0.3) * 0.001
        self.span(
            service=service, name="INSERT", kind="Client", at=at, duration=took, parent=parent, error=locked,
            attributes={"db.system": "sqlite", "db.name": service},
        )  # fmt: skip
        return took, locked

    def outside(self, caller: str, at: float, parent: str) -> float:
        """A call to somebody else's system, that only the caller records."""
        took = 0.7 if self.broken(OUTSIDE, at, "network") else self.random.lognormvariate(0, 0.3) * 0.005
        self.span(
            service=caller, name="GET", kind="Client", at=at, duration=took, parent=parent,
            attributes={"http.url": f"https://{OUTSIDE}/eur", "http.method": "GET", "http.status_code": "200"},
        )  # fmt: skip
        return took

    def call(self, caller: str, callee: str, at: float, parent: str) -> tuple[float, bool]:
        url = f"http://127.0.0.1:{PORTS[callee]}/do"
        attributes = {"http.url": url, "http.method": "POST"}
        own = self.span(service=caller, name="POST", kind="Client", at=at, duration=0.0, parent=parent)
        row = self.shop.spans[-1]
        instance = f"{callee}-{self.random.randrange(self.instances)}"
        hit = self.fault is not None and self.fault.instance in (None, instance)
        if hit and self.broken(callee, at, "killed"):
            row.update(
                duration=0.002,
                error=True,
                attributes=attributes,
                message="ConnectError: [Errno 111] Connection refused",
            )
            return 0.002, True
        if hit and self.broken(callee, at, "hung"):
            row.update(duration=CLIENT_TIMEOUT_S, error=True, attributes=attributes, message="ReadTimeout: timed out")
            return CLIENT_TIMEOUT_S, True
        fault = self.fault
        if fault and self.broken(callee, at, fault.kind) and self.random.random() < fault.broken_off:
            row.update(
                duration=0.01, error=True, attributes=attributes,
                message="RemoteProtocolError: Server disconnected without sending a response.",
            )  # fmt: skip
            return 0.01, True
        delay = 0.6 if self.broken(callee, at, "network") else 0.001
        took, failed = self.serve(callee, at + delay / 2, own, "POST /do", instance)
        took += delay
        if took > CLIENT_TIMEOUT_S:
            row.update(duration=CLIENT_TIMEOUT_S, error=True, attributes=attributes, message="ReadTimeout: timed out")
            return CLIENT_TIMEOUT_S, True
        row.update(
            duration=took, error=failed, attributes=attributes | {"http.status_code": "500" if failed else "200"}
        )
        return took, failed
