"""The fault `redis_full`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from agent.faults.redis_wire import NotRunning, Redis, Refused
from agent.holders import marked
from agent.holders.put_back import stand_by
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.fault import Record
    from agent.instance import Instance

FULL: Final = "1"  # byte: less than an empty server needs
KEEPS: Final = "noeviction"


class RedisFull:
    """Redis has reached its limit of memory and rejects writes: `maxmemory` is set to 1 byte, then back to what it was.

    `maxmemory-policy` is set to `noeviction` before and restored after: with any other, Redis would throw data away.
    The configuration file is not written, so a restart of Redis ends it, too.
    """

    name = "redis_full"
    description = "its Redis is full and rejects writes"
    arguments: Mapping[str, float | str] = MappingProxyType({})

    def lacks(self, instance: Instance) -> str:
        url = instance.settings.get("redis_url", "")
        if not url:
            return "the agent's file names no Redis; set `redis_url: redis://HOST:PORT`"
        try:
            with Redis(url) as redis:
                return "its Redis is full already" if redis.setting("maxmemory") == FULL else ""
        except AgentError as error:
            return error.message

    def plan(self, instance: Instance, seconds: float, arguments: Mapping[str, float | str]) -> dict[str, Any]:  # noqa: ARG002
        url = instance.settings["redis_url"]
        with Redis(url) as redis:
            limit, policy = redis.setting("maxmemory"), redis.setting("maxmemory-policy")
        if limit == FULL:  # the agent remembers for some seconds what a fault lacks
            raise AgentError("its Redis is full already, and what it was before is not known")
        return {
            "mark": marked.new_mark(),
            "url": url,
            "limit": limit,
            "policy": policy,
            "until": time.time() + seconds,
        }

    def begin(self, record: Record) -> None:
        facts = {name: record[name] for name in ("mark", "url", "limit", "policy")}
        left = record["until"] - time.time()
        stand_by(record["mark"], f"{__name__}:{type(self).__name__}", left, facts)
        with Redis(record["url"]) as redis:
            redis.set("maxmemory-policy", KEEPS)
            redis.set("maxmemory", FULL)

    def effect(self, record: Record) -> str:
        try:
            with Redis(record["url"]) as redis:
                redis.ask("SET", record["mark"], "", "PX", "1")
        except Refused as error:
            return error.message if "OOM" in error.message else ""
        return ""

    def end(self, record: Record) -> None:
        try:
            with Redis(record["url"]) as redis:
                # Whoever changed a setting meanwhile knows better.
                if redis.setting("maxmemory") == FULL:
                    redis.set("maxmemory", record["limit"])
                if redis.setting("maxmemory-policy") == KEEPS:
                    redis.set("maxmemory-policy", record["policy"])
        except NotRunning:  # and the next one reads its file
            pass
        marked.end(record["mark"])

    def remains(self, record: Record) -> tuple[str, ...]:
        left = marked.remaining(record["mark"])
        try:
            with Redis(record["url"]) as redis:
                if redis.setting("maxmemory") == FULL != record["limit"]:
                    return (*left, "maxmemory of Redis")
                if redis.setting("maxmemory-policy") == KEEPS != record["policy"]:
                    return (*left, "maxmemory-policy of Redis")
        except NotRunning:
            pass
        return left
