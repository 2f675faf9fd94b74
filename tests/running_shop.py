"""A real shop, started for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.record import Records
from chaos.shop.running import started_shop
from chaos.shop.topology import READY_FILE
from watchkeeper.target import HostAccess, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningShop:
    """The shop as a target, its directory, and where its control API is."""

    target: Target
    data_dir: Path
    control_url: str
    token: str

    @property
    def records(self) -> Records:
        return Records(self.data_dir)

    def host(self, service: str) -> HostAccess:
        host = self.target.status(service).host
        assert host is not None
        return host


@contextmanager
def start_shop(folder: Path) -> Iterator[RunningShop]:
    """Under light load; ended with the context."""
    with started_shop(folder) as target:
        ready = json.loads((folder / READY_FILE).read_text())
        yield RunningShop(target=target, data_dir=folder, control_url=ready["control"], token=ready["token"])
