"""Ways to break a service. One file a fault, one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from chaos.fault import Fault
from chaos.faults.bad_deploy import BadDeploy
from chaos.faults.cpu_hog import CpuHog
from chaos.faults.db_lock import DatabaseLock
from chaos.faults.hang import Hang
from chaos.faults.kill import Kill
from chaos.faults.latency import Latency

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {fault.name: fault for fault in (Latency(), BadDeploy(), Kill(), Hang(), CpuHog(), DatabaseLock())}
)
