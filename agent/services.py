"""The services of the agent's file as they are now: found anew for each question, and acted on one verb at a time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from agent.allowed import RESUME, Allowed, ServiceSection
from agent.finder import Finder, Found, Note, finder_of, no_note
from agent.instance import Instance
from agent.processes import STOPPED, born, seen, send, started_at
from agent.proxied import Proxied
from agent.registry import host_faults
from agent.verbs.own import OWN_VERBS, allowed_verbs
from agent.verbs.trash import Trash
from agent.verbs.verb import OwnVerb, Work
from watchkeeper.errors import AgentError

EMPTY_TRASH_EVERY_S: Final = 60.0
LACKS_KEPT_S: Final = 10.0  # some faults ask other programs what the host can do


class Services:
    """Finds and acts. Threads may share it."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._busy = {name: threading.Lock() for name in allowed.file.services}
        self._lacks: dict[tuple[str, str, str], tuple[float, str]] = {}
        self._proxied = Proxied(allowed)
        self._emptied_at = -EMPTY_TRASH_EVERY_S

    def section(self, service: str) -> ServiceSection:
        return self._allowed.file.services[service]

    def finder(self, service: str) -> Finder:
        return finder_of(self._allowed.finders[service])

    def instances(self, service: str) -> tuple[Instance, ...]:
        """What runs as a service now. Raises AgentError where who would know does not answer."""
        return tuple(self._instance(service, found) for found in self.finder(service).find())

    def _instance(self, service: str, found: Found | None) -> Instance:
        section = self.section(service)
        pids = found.pids if found else ()
        identity = born(pids[0]) if pids else ""
        return Instance(
            service=service,
            pids=pids,
            born=identity,
            started=started_at(identity) if identity else 0.0,
            port=(found.port if found else 0) or (section.proxy.to if section.proxy else 0),
            proxy_port=section.proxy.listen if section.proxy else 0,
            cgroup=found.cgroup if found else "",
            settings=section.settings,
            finder=self._allowed.finders[service],
        )

    def verbs(self, service: str) -> tuple[str, ...]:
        """What the file allows to be done to a service, by name."""
        section = self.section(service)
        return tuple(dict.fromkeys((*section.verbs, *allowed_verbs(section))))

    def own_verb(self, service: str, verb: str) -> OwnVerb | None:
        """The verb of the agent's own that a service's section allows; None: its finder does it."""
        own = OWN_VERBS.get(verb)
        return own if own and own.is_allowed(self.section(service)) else None

    def is_drained(self, service: str) -> bool:
        """Whether its proxy refuses new connections because somebody drained it."""
        return self._proxied.is_drained(service)

    def look_after(self) -> None:
        """Keep proxies running, and remove what has been in the trash for long enough. Called about every second."""
        self._proxied.look()
        if time.monotonic() - self._emptied_at > EMPTY_TRASH_EVERY_S:
            self._emptied_at = time.monotonic()
            for section in self._allowed.file.services.values():
                if trash := Trash.of(section):
                    trash.expire()

    def lacks(self, instance: Instance, fault: str) -> str:
        """Why a fault can't be done to an instance, as its class says."""
        try:
            return host_faults()[fault].lacks(instance)
        except Exception as error:  # noqa: BLE001 - a part of another package
            return f"it cannot say whether it can be done: {type(error).__name__}: {error}"

    def _known_lacks(self, instance: Instance, fault: str) -> str:
        """The same for a list of all faults, remembered for a few seconds."""
        key, now = (instance.service, fault, instance.name), time.monotonic()
        at, answer = self._lacks.get(key, (0.0, ""))
        if not at or now - at > LACKS_KEPT_S:
            answer = self.lacks(instance, fault)
            if len(self._lacks) > 1000:
                self._lacks.clear()
            self._lacks[key] = (now, answer)
        return answer

    def describe(self, service: str) -> dict[str, Any]:
        """One row of `GET /services`."""
        section = self.section(service)
        trouble = self.finder(service).lacks()
        found: tuple[Found, ...] = ()
        if not trouble:
            try:
                found = self.finder(service).find()
            except AgentError as error:
                trouble = error.message
        instance = self._instance(service, found[0] if found else None)
        lacks = {fault: trouble or self._known_lacks(instance, fault) for fault in section.faults}
        can = [*self.verbs(service), "lease", *(["probe"] if section.probe else [])]
        return {
            "service": service,
            "state": "absent" if trouble else _state(instance),
            "trouble": trouble,
            "instance": instance.name,
            "instances": len(found),
            "pid": instance.pids[0] if instance.pids else 0,
            "port": instance.port,
            "reached_at": instance.proxy_port or instance.port,
            "version": found[0].version if found else "",
            "previous_version": "",
            "started_at": instance.started,
            "can": [*can, *(f"fault:{fault}" for fault, why in lacks.items() if not why)],
            "lacks": {fault: why for fault, why in lacks.items() if why},
            "stuck": "",
            "may_break": bool(section.faults),
            "bounds": {"seconds": self._allowed.longest_s(service), "share": self._allowed.share(service)},
            "probe": section.probe.model_dump() if section.probe else None,
            "commands": list(section.commands),
            "flags": list(section.flags),
            "drained": self.is_drained(service),
        }

    def act(
        self, service: str, verb: str, arguments: Mapping[str, Any], key: str, note: Note = no_note
    ) -> dict[str, Any]:
        """Do a verb that the file allows, while nothing else is done to the service.

        Raises:
            AgentError: it could not be done.
        """
        with self._busy[service]:
            if own := self.own_verb(service, verb):
                return own.do(
                    Work(
                        service=service,
                        section=self.section(service),
                        arguments=arguments,
                        key=key,
                        finder=self.finder(service),
                        proxied=self._proxied,
                    )
                )
            if verb == RESUME:
                return {"did": self._resume(service)}
            return {"did": self.finder(service).act(verb, note, arguments, key)}

    def _resume(self, service: str) -> str:
        """Let stopped processes go on."""
        resumed = [
            pid
            for instance in self.instances(service)
            for pid in reversed(instance.pids)
            if (process := seen(pid)) and process.state in STOPPED and send(pid, process.born, signal.SIGCONT)
        ]
        return f"resumed process {', '.join(map(str, resumed))}" if resumed else "nothing: it is not stopped"


def _state(instance: Instance) -> str:
    process = seen(instance.pids[0]) if instance.pids else None
    if process is None:
        return "exited"
    return "stopped" if process.state in STOPPED else "running"
