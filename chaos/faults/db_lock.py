"""The fault `db_lock`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.fault import Baseline, host_of
from watchkeeper.errors import ChaosError
from watchkeeper.target import HOST, ProbeSample, Target
from watchkeeper.vocabulary import Mechanism

# Harm is a request that waits so much longer than before: services give up on a lock after 1.5 s.
WAITS_S = 0.7
HOLDER = Path(__file__).with_name("lock_holder.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLock:
    """Another process holds the service's database locked, and every statement waits in vain.

    An exclusive lock on its SQLite file, held for at most the bound.
    """

    name: str = "db_lock"
    held_as: str = "postgresql_lock"
    mechanism: Mechanism = "database"
    description: str = "another process holds its database locked"
    needs: frozenset[str] = frozenset({HOST})

    @contextmanager
    def inject(self, target: Target, service: str, bound_s: float) -> Iterator[None]:
        """Start the holder; end it on exit, unless somebody did so already."""
        database = host_of(target, service).database
        if not database:
            raise ChaosError(f"{service} names no database file that could be locked")
        holder = subprocess.Popen(
            [sys.executable, "-P", str(HOLDER), database, str(bound_s)], stdout=subprocess.PIPE, text=True
        )
        try:
            if holder.stdout is None or holder.stdout.readline().strip() != "locked":
                raise ChaosError(f"{database} could not be locked")
            yield
        finally:
            holder.terminate()
            holder.wait(5)
            if holder.stdout:
                holder.stdout.close()

    def harmed(self, target: Target, service: str, before: Baseline, sample: ProbeSample) -> str:
        if sample.seconds < before.median_s + WAITS_S:
            return ""
        if target.status(service).state != "running":
            return ""
        how = f"answers {sample.status}" if sample.status else f"ends in {sample.reason}"
        return f"a request that needs the database {how} after {sample.seconds:.1f} s"
