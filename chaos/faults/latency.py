"""The fault `latency`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.fault import Baseline, do, host_of, leased
from watchkeeper.errors import ChaosError
from watchkeeper.target import HOST, LEASE, Lease, ProbeSample, Target
from watchkeeper.vocabulary import Mechanism

DRAIN_S = 1.5  # requests on the old path take at most so long
PROXY_OUTLIVES_S = 10.0  # the lease leads callers past it before it ends
PROVEN_SHARE = 0.6  # of the delay: answers vary by as much on a busy machine
PROXY = Path(__file__).with_name("tcp_proxy.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A TCP proxy in front of the service delays every request.

    By `delay_ms`, and up to `jitter_ms` besides.
    """

    delay_ms: float = 600.0
    jitter_ms: float = 150.0
    name: str = "latency"
    mechanism: Mechanism = "latency"
    description: str = "every request to it takes over half a second longer"
    needs: frozenset[str] = frozenset({"detour", "reroute", LEASE, HOST})

    @property
    def held_arguments(self) -> Mapping[str, float | str]:
        """What an agent is asked for."""
        return {"delay_ms": self.delay_ms}

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Start the proxy and lead callers through it; it lives `bound_s` seconds by itself."""
        port = host_of(target, service).port
        numbers = [str(n) for n in (port, self.delay_ms, self.jitter_ms, bound_s + PROXY_OUTLIVES_S)]
        proxy = subprocess.Popen([sys.executable, "-P", str(PROXY), *numbers], stdout=subprocess.PIPE, text=True)
        try:
            if proxy.stdout is None or not (line := proxy.stdout.readline()):
                raise ChaosError(f"the proxy in front of {service} could not start")
            with leased(target, Lease(service=service, verb="reroute", after_s=bound_s)):
                do(target, service, "detour", port=int(line))
                try:
                    yield
                finally:
                    if host_of(target, service).reached_at == int(line):
                        do(target, service, "reroute")
                    time.sleep(DRAIN_S)  # requests on the old path finish there: ending it must harm nobody
        finally:
            proxy.terminate()
            proxy.wait(5)
            if proxy.stdout:
                proxy.stdout.close()

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:  # noqa: ARG002
        longer_ms = (sample.seconds - before.median_s) * 1000
        if longer_ms < PROVEN_SHARE * self.delay_ms:
            return ""
        return f"a request took {longer_ms:.0f} ms longer than before"
