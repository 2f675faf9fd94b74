"""What a fault on a host is: a record of what to put back, written before anything breaks.

    the agent ── 1. plan: the facts of the record, synced to disk
              └─ starts a keeper for each fault, which forks a process for what follows
                  │ 2. begin: break; what becomes known goes into the record before it is done
                  │ 3. effect, again and again: until the time is over, the agent is gone, or somebody says stop
                  │ the process is killed (kill -9), and all that is in its process group
                  │ 4. end, in a new process: put back, from the record alone
                  └ 5. remains: what is still not as it was; when nothing is, the record is deleted

So `end` is called in another process, perhaps twice, perhaps after a `begin` that was killed anywhere: all that it
knows is the record. What `begin` starts ends with its process group, unless it gets a session of its own
(`agent.launch`); what it holds open (a connection, a file) is closed by the kernel before `end`. `agent/keeper.py` says
who watches whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.instance import Instance


class Record(Protocol):
    """What a fault did, as JSON on the disk: survives everything but the disk."""

    def __getitem__(self, key: str) -> Any: ...

    def get(self, key: str, default: Any = None) -> Any: ...

    def note(self, **facts: Any) -> None:
        """Add facts (JSON values) and sync them to the disk before this returns."""
        ...


class HostFault(Protocol):
    """One way to break a service on this host. Made without arguments; keeps nothing between calls."""

    @property
    def name(self) -> str:
        """The name of its entry point in `watchkeeper.agent_faults`."""
        ...

    @property
    def description(self) -> str:
        """One sentence for a human."""
        ...

    @property
    def arguments(self) -> Mapping[str, float | str]:
        """What can be asked for, each with its default; the agent refuses others."""
        ...

    def lacks(self, instance: Instance) -> str:
        """Why it can't be done to this instance on this host, in words; empty: it can. Touches nothing."""
        ...

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        """The first facts of the record, JSON values: whatever `end` needs and is known before. Touches nothing.

        Raises:
            AgentError: an argument is out of its range.
        """
        ...

    def begin(self, record: Record) -> None:
        """Break. Notes in the record what it is about to do before it does it.

        Raises:
            AgentError: it can't; what was begun is ended by `end`, which is called whatever happens here.
        """
        ...

    def effect(self, record: Record) -> str:
        """What shows that it works now, in words; empty: nothing does yet. Cheap: asked several times a second."""
        ...

    def end(self, record: Record) -> None:
        """Put back. May be called again, in another process, and after a `begin` that never got far.

        Raises:
            AgentError: something can't be put back; it is tried again, and told to humans.
        """
        ...

    def remains(self, record: Record) -> tuple[str, ...]:
        """What of it is still there after `end`: processes, rules, mounts, files; empty: the host is as it was."""
        ...
