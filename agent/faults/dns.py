"""The fault `dns`."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults import packet_filter
from agent.faults.asked import choice, listed
from agent.holders.marked import new_mark
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

PORT: Final = 53
_NAME_AT: Final = (8 + 12) * 8  # bits: after the headers of UDP and of the question
_MOST_BYTES: Final = 16  # that one comparison of the packet filter can take


class Dns:
    """One name does not resolve any more: questions about it leave the host no longer.

    For the service's user; other processes of the same user are hit, too. Needs nftables. A name in /etc/hosts, or one
    that another process looks up for the service (a local cache), still resolves.
    """

    name = "dns"
    description = "a name that it needs does not resolve"
    arguments: Mapping[str, float | str] = MappingProxyType({"name": ""})

    def lacks(self, instance: Instance) -> str:
        if not instance.pids:
            return "it does not run"
        if not listed(instance.settings.get("dns_names", "")):
            return "the agent's file lists no names that may stop resolving; set `dns_names`"
        if not packet_filter.is_in_our_network(instance.pid):
            return "it is in a network namespace of its own, where the agent's packet filter does not count"
        return packet_filter.missing()

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:
        names = listed(instance.settings["dns_names"])
        name = choice(arguments, "name", *names) if arguments["name"] else names[0]
        _question(name)
        return {
            "mark": new_mark(),
            "name": name,
            "user": packet_filter.user_of(instance.pid),
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        asked = _question(record["name"])
        parts = [asked[at : at + _MOST_BYTES] for at in range(0, len(asked), _MOST_BYTES)]
        compared = [
            f"@th,{_NAME_AT + at * _MOST_BYTES * 8},{len(part) * 8} == 0x{part.hex()}" for at, part in enumerate(parts)
        ]
        rule = f"udp dport @ports meta skuid {record['user']} {' '.join(compared)} counter drop"
        packet_filter.add(record["mark"], PORT, record["until"] - time.time(), "output", [rule])

    def effect(self, record: Record) -> str:
        """A question of the service's user is not let out."""
        packet = b"\x00\x01\x01\x00\x00\x01" + bytes(6) + _question(record["name"]) + b"\x00\x01\x00\x01"
        try:
            with packet_filter.as_user(record["user"]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.sendto(packet, ("127.0.0.1", PORT))
        except PermissionError:
            return f"a question for {record['name']} is not let out"
        except OSError:
            pass
        return ""

    def end(self, record: Record) -> None:
        packet_filter.remove(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        return packet_filter.remaining(record["mark"])


def _question(name: str) -> bytes:
    """A name as it stands in a question.

    Raises:
        AgentError: it is none.
    """
    try:
        labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    except UnicodeError as error:
        raise AgentError(f"{name!r} is no name: {error}") from error
    if any(not 0 < len(label) < 64 for label in labels):
        raise AgentError(f"{name!r} is no name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
