"""Things that happen and should wake nobody: a deploy that changes nothing, a busy hour, a nightly job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType

from chaos.target import Target

BATCH_EVERY_S = 0.25


@contextmanager
def harmless_deploy(target: Target, service: str, seconds: float) -> Iterator[None]:  # noqa: ARG001 - all take the same
    """A new version that behaves like the old one. It stays."""
    target.act(service, "deploy", {"title": "Update dependencies"})
    yield


@contextmanager
def load_wave(target: Target, service: str, seconds: float) -> Iterator[None]:  # noqa: ARG001 - all take the same
    """A third more customers for a while; ends by itself."""
    target.set_load(1.35, seconds)
    try:
        yield
    finally:
        target.set_load(1.0, 1.0)


@contextmanager
def batch_job(target: Target, service: str, seconds: float) -> Iterator[None]:
    """A job asks one service for work a few times a second, for at most `seconds`."""
    stop = threading.Event()

    def work() -> None:
        for _ in range(int(seconds / BATCH_EVERY_S)):
            if stop.wait(BATCH_EVERY_S):
                return
            target.ask(service)

    thread = threading.Thread(target=work, name="batch-job", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)


Disturbance = Callable[[Target, str, float], AbstractContextManager[None]]
DISTURBANCES: Mapping[str, Disturbance] = MappingProxyType(
    {"harmless_deploy": harmless_deploy, "load_wave": load_wave, "batch_job": batch_job}
)
