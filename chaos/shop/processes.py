"""The shop's processes: started as forks of one server that has imported everything, watched, stopped.

Forking after the imports starts eight services within a second or two and shares their memory. When the
supervisor dies, the fork server ends with it, and the kernel then ends every instance: nothing is left.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import secrets
import signal
import time
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from chaos.shop.mesh import write_routes
from chaos.shop.topology import FIRST_VERSION, PLANS, InstanceSpec, database_path
from watchkeeper.errors import ChaosError

READY_WITHIN_S = 60.0  # a second or two on an idle machine
DRAIN_S = 0.3  # callers have read the new route by then
STOP_WITHIN_S = 3.0  # then it is killed


@dataclass(slots=True, kw_only=True)
class Instance:
    """One process of a service."""

    spec: InstanceSpec
    process: ForkServerProcess
    port: int
    started_at: float

    @property
    def pid(self) -> int:
        return int(self.process.pid or 0)

    @property
    def state(self) -> str:
        """`running`, `stopped` (SIGSTOP) or `exited`."""
        if self.process.exitcode is not None:
            return "exited"
        try:
            letter = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return "exited"
        return {"T": "stopped", "t": "stopped", "Z": "exited", "X": "exited"}.get(letter, "running")


@dataclass(slots=True, kw_only=True)
class Slot:
    """A service's place: its current instance, the versions it had, and a detour where there is one."""

    service: str
    instance: Instance | None = None
    versions: list[tuple[str, str]] = field(default_factory=lambda: [(FIRST_VERSION, "")])
    detour: int | None = None


class Processes:
    """Starts, replaces and stops instances. Not safe to share between event loops."""

    def __init__(self, data_dir: Path, otlp_url: str, token: str) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir = data_dir
        self._otlp_url = otlp_url
        self._token = token
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["chaos.shop.fork_server"])
        self._load: ForkServerProcess | None = None
        self.slots = {plan.name: Slot(service=plan.name) for plan in PLANS}

    async def start_all(self) -> None:
        """Start every service at once. Raises ChaosError when one is not ready in time."""
        await asyncio.gather(*(self.start(name) for name in self.slots))

    def start_load(self, rate_per_s: float, seed: int) -> None:
        from chaos.shop import load

        self._load = self._context.Process(target=load.run, args=(self.data_dir, rate_per_s, seed), daemon=True)
        self._load.start()

    @property
    def load_pid(self) -> int:
        return int(self._load.pid or 0) if self._load else 0

    async def start(self, service: str) -> Instance:
        """Start a new instance of the current version, lead traffic to it, then stop the old one."""
        slot = self.slots[service]
        version, defect = slot.versions[-1]
        spec = InstanceSpec(
            service=service,
            instance_id=f"{service}-{secrets.token_hex(2)}",
            version=version,
            defect=defect,
            data_dir=self.data_dir,
            otlp_url=self._otlp_url,
            token=self._token,
        )
        new = await self._fork(spec)
        old, slot.instance, slot.detour = slot.instance, new, None
        self.publish_routes()
        if old is not None:
            await self.end(old)
        return new

    async def _fork(self, spec: InstanceSpec) -> Instance:
        from chaos.shop import instance

        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=instance.run, args=(spec, theirs), daemon=True)
        process.start()
        theirs.close()
        deadline = time.monotonic() + READY_WITHIN_S
        while not ours.poll():
            if process.exitcode is not None or time.monotonic() > deadline:
                process.kill()
                raise ChaosError(f"{spec.service} could not start; see the shop's terminal")
            await asyncio.sleep(0.02)
        try:
            port = int(ours.recv())
        except EOFError as error:
            raise ChaosError(f"{spec.service} ended before it was ready; see the shop's terminal") from error
        finally:
            ours.close()
        return Instance(spec=spec, process=process, port=port, started_at=time.time())

    async def end(self, instance: Instance) -> None:
        """Stop an instance: let its last requests finish; a hung or slow one is killed."""
        if instance.state == "running":
            await asyncio.sleep(DRAIN_S)
            instance.process.terminate()
            await asyncio.to_thread(instance.process.join, STOP_WITHIN_S)
        if instance.process.exitcode is None:
            instance.process.kill()
            await asyncio.to_thread(instance.process.join)

    def publish_routes(self) -> None:
        """Write where each service is reached: at its instance, or at the detour in front of it."""
        write_routes(
            self.data_dir,
            {name: slot.detour or slot.instance.port for name, slot in self.slots.items() if slot.instance},
        )

    def lock_holders(self, service: str) -> tuple[int, ...]:
        """Processes outside the shop that hold a lock on the service's database file (from /proc/locks)."""
        inode = database_path(self.data_dir, service).stat().st_ino
        ours = {slot.instance.pid for slot in self.slots.values() if slot.instance}
        holders = set()
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if "->" not in words and int(words[5].split(":")[2]) == inode and int(words[4]) > 0:
                holders.add(int(words[4]))
        return tuple(sorted(holders - ours - {os.getpid()}))

    def stop_all(self) -> None:
        """End every process, whatever state it is in."""
        children = [slot.instance.process for slot in self.slots.values() if slot.instance]
        if self._load:
            children.insert(0, self._load)
        for child in children:
            if child.exitcode is None:
                child.terminate()
                os.kill(int(child.pid or 0), signal.SIGCONT)
        deadline = time.monotonic() + STOP_WITHIN_S
        for child in children:
            child.join(max(0.0, deadline - time.monotonic()))
            if child.exitcode is None:
                child.kill()
                child.join(2)
