"""The way to a service gets slow: a small TCP proxy in front of it delays every chunk."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.fault import Baseline, lease
from chaos.targets.shop import ProbeSample, Target
from watchkeeper.errors import ChaosError
from watchkeeper.vocabulary import Mechanism

DRAIN_S = 1.5
PROXY = Path(__file__).with_name("tcp_proxy.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """`delay_ms` more on every request to the target, and up to `jitter_ms` besides."""

    delay_ms: float = 600.0
    jitter_ms: float = 150.0
    name: str = "latency"
    mechanism: Mechanism = "latency"
    description: str = "every request to it takes over half a second longer"
    targets: tuple[str, ...] = ("catalogue", "cart", "orders", "payments", "inventory", "shipping", "recommendations")

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Start the proxy and lead callers through it; it lives `bound_s` seconds by itself."""
        port = target.service(service).port
        numbers = [str(n) for n in (port, self.delay_ms, self.jitter_ms, bound_s + 10)]
        proxy = subprocess.Popen([sys.executable, "-P", str(PROXY), *numbers], stdout=subprocess.PIPE, text=True)
        try:
            if proxy.stdout is None or not (line := proxy.stdout.readline()):
                raise ChaosError(f"the proxy in front of {service} could not start")
            with lease(target, service, "reroute", bound_s):
                target.act(service, "detour", {"port": int(line)})
                try:
                    yield
                finally:
                    if target.service(service).reached_at == int(line):
                        target.act(service, "reroute")
                    time.sleep(DRAIN_S)  # requests on the old path finish there: ending it must harm nobody
        finally:
            proxy.terminate()
            proxy.wait(5)
            if proxy.stdout:
                proxy.stdout.close()

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:  # noqa: ARG002
        longer_ms = (sample.seconds - before.median_s) * 1000
        return f"a request took {longer_ms:.0f} ms longer than before" if longer_ms >= 0.6 * self.delay_ms else ""
