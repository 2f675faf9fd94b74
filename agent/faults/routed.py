"""What faults share whose work is done by the proxy that callers go through."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from agent.faults import packet_filter
from agent.holders.marked import new_mark
from agent.proxy.control import ask, reached_at
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

_SEEN_BY_CONNECTING: Final = frozenset({"drop", "reject"})
_DOES: Final = {
    "delay": "connections or requests were late",
    "loss": "packets had to be sent again",
    "reset": "connections were reset",
    "bandwidth": "chunks had to wait for their turn",
    "drop": "connections hang",
    "reject": "connections were refused",
    "http_errors": "requests were answered in its place",
    "certificate": "callers were shown the expired certificate",
}


def lacks(instance: Instance) -> str:
    """Why callers cannot be disturbed on their way, in words; empty: they can."""
    if not instance.proxy_port:
        return "its callers do not come through the agent's proxy; set `proxy` in the agent's file"
    try:
        state = ask(instance.proxy_port, {"do": "state"}, within_s=1.0)
    except AgentError as error:
        return error.message
    return "" if state else f"the proxy of port {instance.proxy_port} does not run"


def plan(instance: Instance, seconds: float, rule: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a rule; `rule` has its kind and its numbers."""
    return {
        "port": instance.proxy_port,
        "service": instance.service,
        "rule": {**rule, "id": new_mark()},
        "until": time.time() + seconds,
    }


def begin(record: Record) -> None:
    """Have the proxy disturb what passes; it ends this by itself, too."""
    set_rule(record, dict(record["rule"]))


def set_rule(record: Record, rule: dict[str, Any]) -> None:
    """The same for a rule with more in it than the record has.

    Raises:
        AgentError: no proxy runs, or it is taken by another rule.
    """
    rule["seconds"] = max(0.0, record["until"] - time.time())
    if ask(record["port"], {"do": "set", "rule": rule}) is None:
        raise AgentError(f"the proxy of port {record['port']} does not run")


def effect(record: Record) -> str:
    """How often the proxy has acted; nothing while no caller came through it."""
    rule = _rule(record)
    if rule and not rule["touched"] and rule["kind"] in _SEEN_BY_CONNECTING:
        packet_filter.knock(reached_at(record["port"]), record["port"])
        rule = _rule(record)
    if rule is None or not rule["touched"]:
        return ""
    return f"{rule['touched']} {_DOES[rule['kind']]} on port {record['port']} of {record['service']}"


def holds(record: Record) -> bool:
    """Whether the proxy has the rule."""
    return _rule(record) is not None


def end(record: Record) -> None:
    """Let everything pass again."""
    ask(record["port"], {"do": "clear", "id": record["rule"]["id"]})


def remains(record: Record) -> tuple[str, ...]:
    """The rule, where the proxy still has it."""
    return (f"a rule of the proxy of port {record['port']}",) if _rule(record) else ()


class Routed:
    """A fault that is a rule of the proxy and nothing else: what is left to it is its name and `plan`."""

    lacks = staticmethod(lacks)
    begin = staticmethod(begin)
    effect = staticmethod(effect)
    end = staticmethod(end)
    remains = staticmethod(remains)


def _rule(record: Record) -> dict[str, Any] | None:
    state = ask(record["port"], {"do": "state"})
    rule: dict[str, Any] | None = state["rule"] if state else None
    return rule if rule and rule["id"] == record["rule"]["id"] else None
