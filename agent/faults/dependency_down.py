"""The fault `dependency_down`."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.faults import packet_filter
from agent.faults.asked import choice, listed
from agent.faults.on_path import VERDICTS, OnPath
from agent.holders.marked import new_mark
from agent.proxy.control import ask
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance


class DependencyDown(OnPath):
    """The service does not reach something that it needs, which itself goes on.

    `dependencies` of the agent's file names what may be cut off: `redis=127.0.0.1:6380, mail=10.0.0.5:25`. Where that
    is a port of the agent's proxy, the proxy cuts all its callers off; else the packet filter stops the service's user.
    """

    name = "dependency_down"
    description = "something that it needs cannot be reached"
    arguments: Mapping[str, float | str] = MappingProxyType({"dependency": "", "how": "reject"})

    def lacks(self, instance: Instance) -> str:
        if not instance.pids:
            return "it does not run"
        try:
            places = _places(instance.settings)
        except AgentError as error:
            return error.message
        if not places:
            return "the agent's file names nothing that it depends on; set `dependencies: NAME=HOST:PORT`"
        if all(_is_proxied(*place) for place in places.values()):
            return ""
        if not packet_filter.is_in_our_network(instance.pid):
            return "it is in a network namespace of its own, and a dependency is not behind the agent's proxy"
        missing = packet_filter.missing()
        return f"{missing}, and a dependency is not behind the agent's proxy" if missing else ""

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        places = _places(instance.settings)
        name = choice(arguments, "dependency", *places) if arguments["dependency"] else next(iter(places))
        how = choice(arguments, "how", *VERDICTS)
        host, port = places[name]
        record = {"dependency": name, "until": time.time() + seconds, "port": port, "service": name}
        if _is_proxied(host, port):
            return {**record, "by": "proxy", "rule": {"kind": how, "id": new_mark()}}
        try:
            found = {str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        except OSError as error:
            raise AgentError(f"the address {host} of {name} is not known: {error}") from error
        user = packet_filter.user_of(instance.pid)
        return {**record, "by": "filter", "mark": new_mark(), "addresses": sorted(found), "how": how, "user": user}

    def begin_filtering(self, record: Record) -> None:
        rules = [
            f"{'ip6' if ipaddress.ip_address(address).version == 6 else 'ip'} daddr {address} tcp dport @ports"
            f" meta skuid {record['user']} counter {VERDICTS[record['how']]}"
            for address in record["addresses"]
        ]
        packet_filter.add(record["mark"], record["port"], record["until"] - time.time(), "output", rules)

    def filtered(self, record: Record) -> str:
        if not packet_filter.packets(record["mark"]):
            with packet_filter.as_user(record["user"]):
                packet_filter.knock(record["addresses"][0], record["port"])
        packets = packet_filter.packets(record["mark"])
        return f"{packets} packets to {record['dependency']} were stopped" if packets else ""


def _places(settings: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Host and port of each dependency.

    Raises:
        AgentError: the agent's file has something else there.
    """
    places = {}
    for entry in listed(settings.get("dependencies", "")):
        name, _, place = entry.partition("=")
        host, _, port = place.rpartition(":")
        if not (name and host and port.isdigit() and 0 < int(port) < 65536):
            raise AgentError(f"dependencies of the agent's file must list NAME=HOST:PORT, not {entry!r}")
        places[name.strip()] = (host.strip("[] "), int(port))
    return places


def _is_proxied(host: str, port: int) -> bool:
    """Whether the agent's proxy listens there."""
    state = ask(port, {"do": "state"}, within_s=1.0)
    return state is not None and host in {"127.0.0.1", "localhost", state["listen_host"]}
