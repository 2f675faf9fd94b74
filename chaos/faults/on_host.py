"""The faults that an agent on the service's host holds and nobody does from here, by the agent's own names.

To add one: a line here, and one in pyproject.toml under `watchkeeper.faults`.
"""

from __future__ import annotations

from typing import Final

from chaos.on_host import OnHost

BANDWIDTH: Final = OnHost(name="bandwidth", mechanism="network", description="its answers trickle in")
CERTIFICATE_EXPIRED: Final = OnHost(
    name="certificate_expired", mechanism="network", description="callers are shown an expired certificate"
)
CLOCK_SKEW: Final = OnHost(name="clock_skew", mechanism="unknown", description="its clock is wrong")
COMMAND: Final = OnHost(name="command", mechanism="deploy", description="a command of its owner breaks it")
CRASH_LOOP: Final = OnHost(name="crash_loop", mechanism="killed", description="its process dies again and again")
DEPENDENCY_DOWN: Final = OnHost(
    name="dependency_down", mechanism="network", description="something that it depends on is gone"
)
DISK_FULL: Final = OnHost(name="disk_full", mechanism="errors", description="the disk that it writes to is full")
DISK_READ_ONLY: Final = OnHost(
    name="disk_read_only", mechanism="errors", description="the folder that it writes to is read-only"
)
DISK_SLOW: Final = OnHost(name="disk_slow", mechanism="latency", description="the disk that it writes to is slow")
DNS: Final = OnHost(name="dns", mechanism="network", description="a name that it asks for no longer resolves")
HTTP_ERRORS: Final = OnHost(
    name="http_errors", mechanism="errors", description="a share of its answers becomes a server error"
)
JITTER: Final = OnHost(name="jitter", mechanism="latency", description="its answers come at uneven times")
LOSS: Final = OnHost(name="loss", mechanism="network", description="packets on the way to it get lost")
MEMORY: Final = OnHost(name="memory", mechanism="memory", description="the memory beside it is taken")
PARTITION: Final = OnHost(name="partition", mechanism="network", description="its callers no longer reach it")
POSTGRESQL_SLOW: Final = OnHost(
    name="postgresql_slow", mechanism="database", description="statements in its database take longer"
)
REDIS_FULL: Final = OnHost(name="redis_full", mechanism="database", description="its Redis has no memory left")
RESET: Final = OnHost(name="reset", mechanism="network", description="connections to it are reset")
