"""Find a queue worker by the name that it gives itself."""

import signal

from agent.finder import Found, only, text
from agent.processes import PROC, all_seen, born, send
from watchkeeper.errors import AgentError


class WorkerName:
    """Finds the process with the kernel's short name `name`; it can be stopped, and its pool starts another."""

    restarts = True
    verbs = frozenset({"stop"})

    def __init__(self, settings):
        only(settings, "name")
        self._name = text(settings, "name")

    def lacks(self):
        return ""

    def find(self):
        names = {process.pid: PROC / str(process.pid) / "comm" for process in all_seen()}
        pids = [pid for pid, path in names.items() if path.exists() and path.read_text().strip() == self._name]
        return tuple(Found(pids=(pid,)) for pid in pids)

    def act(self, verb, note, arguments, key):
        if verb not in self.verbs:
            raise AgentError(f"a queue worker does not take {verb!r}")
        stopped = [found.pids[0] for found in self.find() if send(found.pids[0], born(found.pids[0]), signal.SIGTERM)]
        return f"stopped {len(stopped)} workers"
