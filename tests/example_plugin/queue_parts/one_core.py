"""A worker must share one processor with itself."""

import os
from types import MappingProxyType

from agent.processes import born, is_alive


class OneCore:
    """Binds a service's processes to one processor, and lets them have their old ones at the end."""

    name = "one-core"
    description = "its processes have one processor only"
    arguments = MappingProxyType({})

    def lacks(self, instance):
        if not instance.pids:
            return "it does not run"
        return "it has one processor already" if len(os.sched_getaffinity(instance.pid)) < 2 else ""

    def plan(self, instance, seconds, arguments):
        return {"before": [[pid, born(pid), sorted(os.sched_getaffinity(pid))] for pid in instance.pids]}

    def begin(self, record):
        for pid, _, cores in record["before"]:
            os.sched_setaffinity(pid, cores[:1])

    def effect(self, record):
        pid, identity, cores = record["before"][0]
        if is_alive(pid, identity) and os.sched_getaffinity(pid) == {cores[0]}:
            return f"process {pid} may use processor {cores[0]} only"
        return ""

    def end(self, record):
        for pid, identity, cores in record["before"]:
            if is_alive(pid, identity):
                os.sched_setaffinity(pid, cores)

    def remains(self, record):
        return tuple(
            f"the limits of process {pid}"
            for pid, identity, cores in record["before"]
            if is_alive(pid, identity) and os.sched_getaffinity(pid) != set(cores)
        )
