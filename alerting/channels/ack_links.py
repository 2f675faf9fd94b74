"""Links by which one person acknowledges one incident from a message, on a page that asks before it does.

A mail program, or a scanner of links, opens every address in a message. So the link leads to a page, and only the
button on that page acknowledges. The token in it is for one incident and one person, ends after a day, and is signed
with a key of its own; who has it can do nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alerting.channels.signing import Signing
from watchkeeper.config import Config, PersonConfig
from watchkeeper.vocabulary import Actor

PATH: Final = "/acknowledge/"
VALID: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AckLink:
    """What a link stands for: an incident, and the person who acknowledges it."""

    incident_id: str
    person: PersonConfig

    @property
    def actor(self) -> Actor:
        return Actor(name=self.person.name, via="link")


class AckLinks:
    """Makes and reads the links of one installation."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._signing = Signing(config, "acknowledge")

    def url(self, incident_id: str, channel: str, address: str, now: datetime) -> str:
        """The link for whoever a channel reaches at an address; empty where that is no person."""
        people = self._config.oncall.people
        person = next((person for person in people if address and person.address(channel) == address), None)
        if person is None:
            return ""
        text = f"{incident_id}\n{person.id}\n{int((now + VALID).timestamp())}"
        return f"{self._config.web_url}{PATH}{self._signing.token(text)}"

    def read(self, token: str, now: datetime) -> AckLink | None:
        """What a token stands for; None for one that is forged, too old, or of a person who is gone."""
        text = self._signing.read(token)
        if text is None:
            return None
        incident_id, person_id, until = text.split("\n")
        person = self._config.oncall.person(person_id)
        if person is None or int(until) < now.timestamp():
            return None
        return AckLink(incident_id=incident_id, person=person)
