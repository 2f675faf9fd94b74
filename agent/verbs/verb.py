"""What a verb of the agent's own is: checked before anything is done, then done once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agent.launch import CommandFailed, run
from watchkeeper.errors import AgentError

if TYPE_CHECKING:
    from agent.allowed import ServiceSection
    from agent.finder import Finder
    from agent.proxied import Proxied
    from agent.verb_sections import DrainSection, FlagSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One request: of which service, with what, and what it may use.

    Attributes:
        arguments: checked already.
        proxied: the agent's proxies.
    """

    service: str
    section: ServiceSection
    arguments: Mapping[str, Any]
    key: str
    finder: Finder
    proxied: Proxied


class OwnVerb(Protocol):
    """One verb. Keeps nothing between calls."""

    @property
    def allowed_by(self) -> str:
        """The key of a service in the agent's file that allows it."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether it may be done again by whoever does not know whether it was done."""
        ...

    def is_allowed(self, section: ServiceSection) -> bool:
        """Whether the file allows it."""
        ...

    def check(self, service: str, section: ServiceSection, arguments: Mapping[str, Any]) -> None:
        """Raises Refused where the arguments are wrong, or beyond what the file allows. Touches nothing."""
        ...

    def do(self, work: Work) -> dict[str, Any]:
        """Do it: `did` of the answer describes what was done, as it was seen afterwards.

        Raises:
            AgentError: it could not be done, or does not show.
        """
        ...


def switch(section: FlagSection | DrainSection, *, on: bool, what: str) -> str:
    """Run the command of a pair that leads to a state, unless its check says that it is so already.

    Args:
        what: the state in words: `the flag new-checkout is on`.

    Raises:
        AgentError: the command failed, or its check says afterwards that it is not so.
    """
    if section.check and _holds(section) is on:
        return f"nothing: {what} already"
    command = (section.do if on else section.undo) or ()
    run(command, within_s=section.seconds, folder=_folder(section), user=section.user)
    if section.check and _holds(section) is not on:
        raise AgentError(f"{command[0]} was run, and the check does not say that {what}")
    return what if section.check else f"ran the command after which {what}"


def _holds(section: FlagSection | DrainSection) -> bool | None:
    """What the check says; None where it says neither."""
    try:
        run(section.check or (), within_s=section.seconds, folder=_folder(section), user=section.user)
    except CommandFailed as error:
        return False if error.status == 1 else None
    except AgentError:
        return None
    return True


def _folder(section: FlagSection | DrainSection) -> str | None:
    return str(section.folder) if section.folder else None
