"""What a page says as an e-mail: plain text and simple HTML with the same content."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Final

from alerting.channels.ack_links import AckLinks
from alerting.channels.channel import ChannelContext, Digest, Message
from alerting.channels.email.envelope import envelope, links_html
from alerting.channels.plain import facts, headline, headline_of_many, moment, state_of
from alerting.incidents.machine import CLOSED
from watchkeeper.clock import Clock
from watchkeeper.text import one_line, prose

LISTED: Final = 50  # incidents of a digest; the dashboard lists all


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What one e-mail is about. `why` is the reason why its reader gets it; `links` are texts with addresses."""

    subject: str
    why: str
    facts: Sequence[tuple[str, str]] = ()
    links: Sequence[tuple[str, str]] = ()


class Letters:
    """Writes what a channel's pages say, with a link that acknowledges for whoever it reaches at an address."""

    def __init__(self, context: ChannelContext, clock: Clock) -> None:
        self._channel = context.name
        self._incidents_url = f"{context.config.web_url}/incidents"
        self._links = AckLinks(context.config)
        self._clock = clock

    def page(self, message: Message) -> Letter:
        """A page about one incident."""
        incident_id = message.incident.id
        ack_url = self._ack_url(incident_id, message.mention)
        return _page_letter(message, f"{self._incidents_url}/{incident_id}", ack_url)

    def digest(self, digest: Digest) -> Letter:
        """Several incidents at once."""
        ack_urls = [self._ack_url(incident.id, digest.mention) for incident in digest.incidents]
        return _digest_letter(digest, self._incidents_url, ack_urls)

    def _ack_url(self, incident_id: str, address: str) -> str:
        return self._links.url(incident_id, self._channel, address, self._clock.now())


def _page_letter(message: Message, url: str, ack_url: str) -> Letter:
    incident = message.incident
    links = [("Acknowledge", ack_url)] if ack_url and incident.human_state not in CLOSED else []
    return Letter(
        subject=f"[{incident.id}] {headline(incident)}",
        why=prose(message.text, 1000) if message.text else "",
        facts=facts(incident),
        links=[*links, ("Open the incident", url)],
    )


def _digest_letter(digest: Digest, url: str, ack_urls: Sequence[str]) -> Letter:
    """`ack_urls` are in the order of the incidents."""
    shown = list(zip(digest.incidents, ack_urls, strict=True))[:LISTED]
    left = len(digest.incidents) - len(shown)
    rows = [(incident.id, f"{state_of(incident)}: {one_line(incident.title, 160)}") for incident, _ in shown]
    rows += [("More", f"{left} more in the list of incidents")] if left else []
    links = [(f"Acknowledge {incident.id}", ack_url) for incident, ack_url in shown if ack_url]
    return Letter(
        subject=headline_of_many(digest.incidents),
        why=prose(digest.text, 1000) if digest.text else "",
        facts=rows,
        links=[("Open the incidents", url), *links],
    )


def test_letter(text: str) -> Letter:
    """A test page: its first line is the subject."""
    heading, _, rest = text.partition("\n")
    return Letter(subject=one_line(heading, 200), why=prose(rest or heading, 1000))


test_letter.__test__ = False  # type: ignore[attr-defined]


def compose(letter: Letter, *, key: str, thread: str, sender: str, address: str, at: datetime) -> EmailMessage:
    """The e-mail. `thread` names what its reader should see together; an incident's e-mails share it."""
    mail = envelope(letter.subject, key=key, thread=thread, sender=sender, address=address, at=at)
    mail["X-Priority"] = "1"
    mail.set_content(_plain(letter, at))
    mail.add_alternative(_html(letter, at), subtype="html")
    return mail


def _plain(letter: Letter, at: datetime) -> str:
    rows = [f"{name}: {text}" for name, text in letter.facts]
    links = [f"{name}: {url}" for name, url in letter.links]
    return "\n\n".join(filter(None, (letter.why, "\n".join(rows), "\n".join(links), _footer(at)))) + "\n"


def _html(letter: Letter, at: datetime) -> str:
    rows = "".join(
        f"<tr><td style='padding:2px 12px 2px 0;color:#666;vertical-align:top'>{html.escape(name)}</td>"
        f"<td style='padding:2px 0'>{html.escape(text)}</td></tr>"
        for name, text in letter.facts
    )
    links = links_html(letter.links)
    return (
        "<!doctype html><html><body style='font:15px/1.5 sans-serif'>"
        f"<h2 style='font-size:18px'>{html.escape(letter.subject)}</h2><p>{html.escape(letter.why)}</p>"
        f"<table>{rows}</table>{links}<p style='color:#666'>{html.escape(_footer(at))}</p></body></html>"
    )


def _footer(at: datetime) -> str:
    return f"Sent by Watchkeeper at {moment(at)}. Answers to this address are not read."
