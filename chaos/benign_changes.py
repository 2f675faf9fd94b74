"""Changes that should page nobody: a deploy, a cold cache after one, a busy hour, a nightly job.

Each may be seen by a detector; whether it is benign is not assumed but measured, by the steady-state hypothesis
of `chaos.experiment`: customers must stay well all the while.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType

from chaos.fault import do
from watchkeeper.target import Target

BATCH_EVERY_S = 0.25  # how often a batch job asks its service for work
BUSY_HOUR = 1.7  # times the usual traffic


@contextmanager
def harmless_deploy(target: Target, service: str, seconds: float) -> Iterator[None]:  # noqa: ARG001 - all take the same
    """A new version that behaves like the old one. It stays."""
    do(target, service, "deploy", title="Update dependencies")
    yield


@contextmanager
def cold_deploy(target: Target, service: str, seconds: float) -> Iterator[None]:  # noqa: ARG001 - all take the same
    """A new version whose cache is empty: its first requests take a little longer, then it is as before. It stays."""
    do(target, service, "deploy", title="Larger cache", defect="cold")
    yield


@contextmanager
def load_wave(target: Target, service: str, seconds: float) -> Iterator[None]:
    """A busy hour: more customers for a while; ends by itself."""
    do(target, service, "traffic", factor=BUSY_HOUR, seconds=seconds)
    try:
        yield
    finally:
        do(target, service, "traffic", factor=1.0, seconds=1.0)


@contextmanager
def batch_job(target: Target, service: str, seconds: float) -> Iterator[None]:
    """A nightly job inside one service: it computes, and asks for work a few times a second. Ends by itself."""
    stop = threading.Event()
    do(target, service, "burn", seconds=seconds, threads=1)

    def work() -> None:
        for _ in range(int(seconds / BATCH_EVERY_S)):
            if stop.wait(BATCH_EVERY_S):
                return
            target.probe(service)

    thread = threading.Thread(target=work, name="batch-job", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)


BenignChange = Callable[[Target, str, float], AbstractContextManager[None]]
BENIGN_CHANGES: Mapping[str, BenignChange] = MappingProxyType(
    {"harmless_deploy": harmless_deploy, "cold_deploy": cold_deploy, "load_wave": load_wave, "batch_job": batch_job}
)
