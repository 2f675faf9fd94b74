"""What the agent does when asked, each once for a key, and what it refuses, with the key of its file that decides.

Nothing here knows HTTP. Every method runs in a thread of its own request.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from agent.allowed import RESUME, Allowed
from agent.audit import audit
from agent.instance import Instance
from agent.keeper import STOP_FILE
from agent.keepers import Keepers
from agent.keys import Keys
from agent.leases import MOST, KeptLease, Leases
from agent.records import FaultState, sync_folder
from agent.refused import Refused
from agent.registry import host_faults
from agent.services import Services
from agent.verbs.own import OWN_VERBS
from watchkeeper.errors import AgentError
from watchkeeper.text import one_line

STOPPED_WITHIN_S: Final = 2.0
# These may be done again by whoever does not know whether they were done.
REPEATABLE: Final = ("start", "stop", RESUME)
LONGEST_KEY: Final = 300
Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that would do something: with which key (empty: none), and who asks."""

    key: str
    who: str


class Actions:
    """The agent of one state folder. Threads may share it."""

    def __init__(self, allowed: Allowed, root: Path, keepers: Keepers) -> None:
        self.services = Services(allowed)
        self.leases = Leases(root)
        self._allowed = allowed
        self._root = root
        self._keepers = keepers
        self._keys = Keys(root)
        self._beginning = threading.Lock()

    @property
    def is_stopped(self) -> bool:
        return (self._root / STOP_FILE).exists()

    def act(self, service: str, verb: str, arguments: Mapping[str, Any], asked: Asked) -> Answer:
        """Do a verb to a service. Raises Refused or AgentError."""
        self._check_verb(service, verb, arguments)
        fields = {"arguments": dict(arguments)} if self.services.own_verb(service, verb) else {}
        audit(self._root, "verb.asked", who=asked.who, service=service, verb=verb, key=asked.key, **fields)
        before = self._instance_name(service) if verb == "restart" else ""
        request = _digest(["act", service, verb, dict(arguments)])

        def do() -> dict[str, Any]:
            return self.services.act(service, verb, arguments, asked.key)

        def was_done(before: str) -> dict[str, Any] | None:
            return self._was_done(service, verb, before)

        return self._once(asked.key, request, before, do, was_done, is_final=not self._own_repeats(service, verb))

    def _check_verb(self, service: str, verb: str, arguments: Mapping[str, Any]) -> None:
        self._check_service(service)
        allowed, finder = self.services.verbs(service), self.services.finder(service)
        if verb not in allowed:
            key = f"services.{service}.{OWN_VERBS[verb].allowed_by if verb in OWN_VERBS else 'verbs'}"
            known = {*finder.verbs, RESUME, *OWN_VERBS}
            if verb in known or "*" in known:
                raise Refused(403, f"{verb} of {service} is not allowed: {key} of the agent's file lacks it")
            raise Refused(404, f"there is no verb {one_line(verb, 60)}; the file allows {', '.join(allowed) or 'none'}")
        if own := self.services.own_verb(service, verb):
            own.check(service, self.services.section(service), arguments)
        elif arguments and "*" not in finder.verbs:
            raise Refused(422, f"{verb} takes no arguments, not {one_line(', '.join(arguments), 100)}")

    def _own_repeats(self, service: str, verb: str) -> bool:
        own = self.services.own_verb(service, verb)
        return own is None or own.repeats

    def _was_done(self, service: str, verb: str, before: str) -> dict[str, Any] | None:
        """What to answer for a verb that was begun when the agent died; None: do it again. Raises Refused."""
        own = self.services.own_verb(service, verb)
        if verb in REPEATABLE or (own and own.repeats):
            return None
        if own is None and "*" in self.services.finder(service).verbs:  # its supervisor knows the key
            return None
        if verb == "restart":
            now = self._instance_name(service)
            return {"did": "restarted, before the agent itself was"} if now and now != before else None
        raise Refused(
            409,
            f"the agent ended while it did {verb} to {service}, and whether that was done is not known: "
            "look at the service, then ask with another key",
            unsure=True,
        )

    def _once(
        self,
        key: str,
        request: str,
        before: str,
        do: Callable[[], dict[str, Any]],
        was_done: Callable[[str], dict[str, Any] | None],
        *,
        is_final: bool,
    ) -> Answer:
        """Do it, once for each key; `is_final`: what failed must not be tried again with the same key."""
        if not key:
            return 200, do()
        known = self._known(key, request)
        answer = None
        if known is None:
            self._on_disk(self._keys.begin, key, request, before)
        elif known.answer is not None:
            return known.status, known.answer
        else:
            answer = was_done(known.before)
        if answer is None:
            try:
                answer = do()
            except AgentError as error:
                if not is_final:
                    self._on_disk(self._keys.forget, key)
                    raise
                self._on_disk(self._keys.finish, key, 409, {"error": error.message})
                raise Refused(409, error.message) from error
        self._on_disk(self._keys.finish, key, 200, answer)
        return 200, answer

    def begin_fault(self, body: Mapping[str, Any], asked: Asked) -> FaultState:
        """Begin a fault, once for a key. Raises Refused or AgentError."""
        service, fault, seconds, arguments = _fault_request(body)
        self._check_service(service)
        request = _digest(["fault", service, fault, seconds, arguments])
        fault_id = _digest([asked.who, asked.key])[:16] if asked.key else secrets.token_hex(8)
        with self._beginning:
            known = self._known(asked.key, request) if asked.key else None
            if known and (state := self._keepers.state(fault_id)):
                return state
            if known and known.answer is not None:
                raise Refused(409, "this fault has ended, and too long ago for the agent to know more")
            instance = self._check_fault(service, fault, seconds, arguments)
            audit(
                self._root,
                "fault.asked",
                who=asked.who,
                id=fault_id,
                service=service,
                fault=fault,
                seconds=seconds,
                arguments=arguments,
                instance=instance.name,
            )
            if asked.key:
                self._on_disk(self._keys.begin, asked.key, request, fault_id)
            with_defaults = {**host_faults()[fault].arguments, **arguments}
            try:
                state = self._keepers.begin(fault_id, host_faults()[fault], instance, seconds, with_defaults)
            except AgentError as error:
                if asked.key:
                    self._on_disk(self._keys.forget, asked.key)
                raise Refused(422, error.message) from error
            if asked.key:
                self._on_disk(self._keys.finish, asked.key, 200, {"id": fault_id})
            return state

    def _check_fault(self, service: str, fault: str, seconds: float, arguments: Mapping[str, float | str]) -> Instance:
        """The instance that may be broken. Raises Refused for whatever speaks against it."""
        section = self.services.section(service)
        if fault not in host_faults():
            raise Refused(404, f"there is no fault {one_line(fault, 60)}; there are {', '.join(host_faults())}")
        if fault not in section.faults:
            raise Refused(
                403, f"{fault} of {service} is not allowed: services.{service}.faults of the agent's file lacks it"
            )
        if seconds > (longest := self._allowed.longest_s(service)):
            raise Refused(
                403,
                f"{seconds:g} s is longer than bounds.seconds of the agent's file, {longest:g} for {service}",
            )
        _check_arguments(fault, arguments)
        if closed := self._allowed.closed(service, datetime.now(UTC)):
            raise Refused(403, f"nothing may be broken now: {closed} of the agent's file")
        if self.is_stopped:
            raise Refused(409, "everything was stopped: nothing is broken until somebody sends POST /resume")
        held = self._keepers.states()
        if stuck := next((state for state in held if state.state == "stuck"), None):
            raise Refused(409, f"{stuck.fault} of {stuck.service} is stuck, and nothing else is broken: {stuck.error}")
        if len(held) >= self._allowed.file.bounds.concurrent:
            busy = ", ".join(f"{state.fault} of {state.service} ({state.state})" for state in held)
            raise Refused(409, f"busy with {busy}; bounds.concurrent of the agent's file allows no more at once")
        instances = self._found(service)
        most = math.floor(self._allowed.share(service) * len(instances) + 1e-9)
        if instances and not most:
            raise Refused(
                403,
                f"{service} has {len(instances)} instances here, and bounds.share of the agent's file allows to break "
                f"{self._allowed.share(service):g} of them, which is none",
            )
        broken = {state.instance for state in held if state.service == service}
        whole = [instance for instance in instances if instance.name not in broken]
        if not whole:
            raise Refused(409, f"{service} does not run" if not instances else f"every instance of {service} is broken")
        if len(broken) >= most:
            raise Refused(409, f"busy: {len(broken)} of {len(instances)} instances of {service} are broken already")
        if lacking := self.services.lacks(whole[0], fault):
            raise Refused(422, f"{fault} can't be done to {service} here: {lacking}")
        return whole[0]

    def stop(self, who: str) -> dict[str, Any]:
        """End every fault, and refuse new ones until `resume`. Waits for their ends, for two seconds at most."""
        path = self._root / STOP_FILE
        with suppress(OSError):  # a full disk, which one of the faults may be
            path.touch(mode=0o600)
        ids = self._keepers.end_all("everything was stopped")
        audit(self._root, "stopped", who=who, faults=ids)
        deadline = time.monotonic() + STOPPED_WITHIN_S
        while (left := self._keepers.states()) and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            path.touch(mode=0o600)
            sync_folder(self._root)
        except OSError as error:
            raise AgentError(
                f"every fault was told to end, but {path} cannot be written ({error.strerror or error}): "
                "new faults are not refused",
                retry=True,
            ) from error
        return {"stopped": True, "faults": ids, "ending": [state.as_json() for state in left]}

    def resume(self, who: str) -> dict[str, Any]:
        """Take faults again."""
        path = self._root / STOP_FILE
        was_stopped = path.exists()
        path.unlink(missing_ok=True)
        sync_folder(self._root)
        audit(self._root, "resumed", who=who)
        return {"stopped": False, "was_stopped": was_stopped}

    def add_lease(self, body: Mapping[str, Any], asked: Asked) -> KeptLease:
        """Keep a lease. Raises Refused."""
        service, verb, after_s = body.get("service"), body.get("verb"), body.get("after_s")
        terms = {name: body.get(name) or "" for name in ("if_instance", "unless_version")}
        if not isinstance(service, str) or not isinstance(verb, str) or not _is_number(after_s):
            raise Refused(422, 'a lease needs {"service": "…", "verb": "…", "after_s": seconds}')
        if unknown := set(body) - {"service", "verb", "after_s", *terms}:
            raise Refused(422, f"a lease has no {one_line(', '.join(sorted(unknown)), 100)}")
        if not all(isinstance(value, str) for value in terms.values()):
            raise Refused(422, "if_instance and unless_version of a lease are texts")
        self._check_verb(service, verb, {})
        longest = self._allowed.longest_s(service)
        if not 0 < float(after_s or 0) <= longest:
            raise Refused(403, f"after_s must be over 0 and up to {longest:g}, which bounds.seconds allows")
        if len(self.leases.all()) >= MOST:
            raise Refused(409, f"there are {MOST} leases already; end some")
        audit(self._root, "lease.asked", who=asked.who, service=service, verb=verb, after_s=after_s)
        try:
            return self.leases.add(service, verb, float(after_s or 0), terms)
        except OSError as error:
            raise AgentError(f"the lease cannot be written: {error.strerror or error}", retry=True) from error

    def do_lease(self, lease: KeptLease) -> dict[str, Any]:
        """Do what a lease says, unless its terms say not to. Raises AgentError."""
        if lease.if_instance and self._instance_name(lease.service) != lease.if_instance:
            return {"did": "nothing: another instance runs"}
        if lease.unless_version and self.services.describe(lease.service)["version"] == lease.unless_version:
            return {"did": "nothing: that version runs"}
        return self.act(lease.service, lease.verb, {}, Asked(f"lease-{lease.id}", "lease"))[1]

    def _known(self, key: str, request: str) -> Any:
        if len(key) > LONGEST_KEY:
            raise Refused(422, f"the Idempotency-Key is longer than {LONGEST_KEY} characters")
        known = self._keys.get(key)
        if known and known.request != request:
            raise Refused(422, "this Idempotency-Key was used for another request")
        return known

    def _check_service(self, service: str) -> None:
        if self._allowed.service(service) is None:
            names = ", ".join(self._allowed.file.services) or "none"
            raise Refused(404, f"the agent's file has no service {one_line(service, 60)}; it has {names}")

    def _instance_name(self, service: str) -> str:
        return next((instance.name for instance in self._found(service)), "")

    def _found(self, service: str) -> tuple[Instance, ...]:
        if lacking := self.services.finder(service).lacks():
            raise Refused(409, f"{service} can't be found: {lacking}")
        return self.services.instances(service)

    def _on_disk(self, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except OSError as error:
            raise AgentError(
                f"the agent's disk does not take its keys: {error.strerror or error}", retry=True
            ) from error


def _fault_request(body: Mapping[str, Any]) -> tuple[str, str, float, dict[str, float | str]]:
    service, fault, seconds = body.get("service"), body.get("fault"), body.get("seconds")
    arguments = body.get("arguments") or {}
    if not isinstance(service, str) or not isinstance(fault, str):
        raise Refused(422, 'a fault needs {"service": "…", "fault": "…", "seconds": …, "arguments": {…}}')
    if not _is_number(seconds) or not float(seconds or 0) > 0:
        raise Refused(422, "`seconds` must be a number over 0: how long the fault may hold")
    if unknown := set(body) - {"service", "fault", "seconds", "arguments"}:
        raise Refused(422, f"a fault has no {one_line(', '.join(sorted(unknown)), 100)}")
    if not isinstance(arguments, Mapping) or not all(_is_number(v) or isinstance(v, str) for v in arguments.values()):
        raise Refused(422, "`arguments` must hold names with numbers or texts")
    return service, fault, float(seconds or 0), {name: _plain(value) for name, value in arguments.items()}


def _check_arguments(fault: str, arguments: Mapping[str, float | str]) -> None:
    known = host_faults()[fault].arguments
    for name, value in arguments.items():
        if name not in known:
            takes = ", ".join(known) or "no arguments"
            raise Refused(422, f"{fault} has no argument {one_line(name, 60)}; it takes {takes}")
        if isinstance(value, str) != isinstance(known[name], str):
            raise Refused(422, f"{name} of {fault} must be {'text' if isinstance(known[name], str) else 'a number'}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(value)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
