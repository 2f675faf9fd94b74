"""What a finder is: one way to find a service on this host, and to start and stop it.

Finders are made again and again, in the agent and in keepers, from what the agent's file says. They keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from watchkeeper.parts import Registry

# Keeps the identity of a process before it does anything: `agent.launch`.
Note = Callable[[int, str], None]
SCALE: Final = "scale"  # a verb with {"count": how many}; `verbs` has it where the finder can


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One instance that runs: its processes (the main one first), and what else the finder knows of it."""

    pids: tuple[int, ...]
    port: int = 0
    cgroup: str = ""
    version: str = ""


class Finder(Protocol):
    """One way to find a service. Made from its settings; raises WrongSetting where they are not what it needs."""

    @property
    def verbs(self) -> frozenset[str]:
        """Which verbs it can do: `start`, `stop`, `restart`, `scale`; `*`: and others, which it passes on."""
        ...

    @property
    def restarts(self) -> bool:
        """Whether somebody starts the service again when its process dies, unless told to `stop`."""
        ...

    def lacks(self) -> str:
        """Why it can't be used on this host, in words; empty: it can. Touches nothing."""
        ...

    def find(self) -> tuple[Found, ...]:
        """The instances that run now.

        Raises:
            AgentError: who would know does not answer.
        """
        ...

    def act(self, verb: str, note: Note, arguments: Mapping[str, Any], key: str) -> str:
        """Do a verb, and describe what was done. Nothing is done twice that is done already.

        Raises:
            AgentError: it could not.
        """
        ...


class WrongSetting(AgentError):
    """A setting of a finder is wrong; `key` is empty where one is missing."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}" if key else what)
        self.key = key
        self.what = what


def no_note(_pid: int, _identity: str) -> None:
    """For whoever starts a service and has no record to keep its process in."""


@cache
def finder_registry() -> Registry[type[Finder]]:
    """Every finder, and those that could not be loaded."""
    from watchkeeper.parts import read_registry  # a keeper needs none of it, and starts for each fault

    return read_registry("agent_finder", accept_finder)


def accept_finder(name: str, part: object) -> type[Finder]:
    """A class with the Protocol's methods. Raises TypeError for anything else."""
    missing = [each for each in ("verbs", "restarts", "lacks", "find", "act") if not hasattr(part, each)]
    if not isinstance(part, type) or missing:
        lacks = f"; it lacks {', '.join(missing)}" if missing else ""
        raise TypeError(f"the finder {name} must be a class with the members of agent.finder.Finder{lacks}")
    return cast("type[Finder]", part)


def described_finder(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A finder as JSON values, for records: `finder_of` makes it again, also where nothing else is loaded.

    Raises:
        AgentError: there is no such kind.
    """
    registry = finder_registry()
    if kind not in registry.parts:
        broken = registry.broken_named(kind)
        raise AgentError(
            f"there is no finder {kind!r}{f': {broken.reason}' if broken else ''}; "
            f"choose one of {', '.join(registry.parts)}"
        )
    return {"part": place_of(registry.parts[kind].value), "settings": dict(settings)}


def finder_of(described: Mapping[str, Any]) -> Finder:
    """The finder that a record describes.

    Raises:
        AgentError: it cannot be loaded any more.
        WrongSetting: it does not take these settings.
    """
    made: Callable[[Mapping[str, Any]], Finder] = loaded(str(described["part"]))
    return made(described["settings"])


def place_of(part: object) -> str:
    """Where a class is, as `module:name`, so that a record can name it."""
    made = part if isinstance(part, type) else type(part)
    return f"{made.__module__}:{made.__qualname__}"


def loaded(place: str) -> Any:
    """The class at a place. Raises AgentError: it is not there any more."""
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:
        raise AgentError(f"{place} cannot be loaded: {type(error).__name__}: {error}") from error


def text(settings: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A setting that is one line of text. Without a default it is required. Raises WrongSetting."""
    value = settings.get(key, default)
    if value is None:
        raise WrongSetting("", f"{key} is required; add it")
    if not isinstance(value, str) or not value.isprintable() or value != value.strip() or (not value and not default):
        raise WrongSetting(key, "must be a line of text")
    return value


def command(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A setting that is a command: a list of texts, no shell; empty where it is not set. Raises WrongSetting."""
    value = settings.get(key, ())
    if isinstance(value, str) or not all(isinstance(each, str) and "\0" not in each for each in value):
        raise WrongSetting(key, 'must be a list of texts, such as ["/usr/bin/orders", "--port", "8080"]')
    if key in settings and not value:
        raise WrongSetting(key, "must not be empty")
    return tuple(value)


def port(settings: Mapping[str, Any], key: str = "port") -> int:
    """A setting that is a TCP port; 0 where it is not set. Raises WrongSetting."""
    value = settings.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or (key in settings and not 1 <= value <= 65_535):
        raise WrongSetting(key, "must be a port from 1 to 65535")
    return value


def only(settings: Mapping[str, Any], *known: str) -> None:
    """Raises WrongSetting for a key that is not known."""
    for key in settings:
        if key not in known:
            raise WrongSetting(key, f"no such key; there are {', '.join(known)}")
