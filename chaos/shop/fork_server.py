"""Imported by the fork server alone, before its first fork: load everything once, and end with the supervisor.

The kernel kills the fork server when the supervisor dies, even by kill -9, and then every instance (each asks
for that itself): nothing outlives the shop. Frozen objects stay shared between the forks.
"""

from __future__ import annotations

import gc
import signal

from chaos.shop import instance, load
from watchkeeper.child_process import end_with_parent

end_with_parent(signal.SIGKILL)
gc.collect()
gc.freeze()

__all__ = ["instance", "load"]
