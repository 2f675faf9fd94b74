"""What an e-mail says: plain text and simple HTML with the same content, and headers by which mail programs thread it.

The message's id is made from its key. A page that is sent again after a kill has the same id, and mail servers that
suppress duplicates show it once.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from alerting.channels.ack_links import AckLinks
from alerting.channels.channel import ChannelContext, Digest, Message
from alerting.channels.plain import facts, headline, headline_of_many, moment, state_of
from alerting.incidents.machine import CLOSED
from watchkeeper.clock import Clock
from watchkeeper.text import one_line, prose

LISTED: Final = 50  # incidents of a digest; the dashboard lists all
DOMAIN: Final = "watchkeeper.invalid"  # of message ids, which nobody answers to


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


def message_id(key: str) -> str:
    """The id of the message with a key.

    >>> message_id("inc-7f3a01:3:email") == message_id("inc-7f3a01:3:email")
    True
    """
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{DOMAIN}>"


def compose(letter: Letter, *, key: str, thread: str, sender: str, address: str, at: datetime) -> EmailMessage:
    """The e-mail. `thread` names what its reader should see together; an incident's e-mails share it."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Date"] = sender, address, format_datetime(at)
    mail["Subject"] = one_line(letter.subject, 240)
    mail["Message-ID"] = message_id(key)
    mail["References"] = message_id(f"thread {thread}")
    mail["Auto-Submitted"], mail["X-Priority"] = "auto-generated", "1"
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
    links = "".join(
        f"<p><a href='{html.escape(url, quote=True)}'>{html.escape(name)}</a></p>" for name, url in letter.links
    )
    return (
        "<!doctype html><html><body style='font:15px/1.5 sans-serif'>"
        f"<h2 style='font-size:18px'>{html.escape(letter.subject)}</h2><p>{html.escape(letter.why)}</p>"
        f"<table>{rows}</table>{links}<p style='color:#666'>{html.escape(_footer(at))}</p></body></html>"
    )


def _footer(at: datetime) -> str:
    return f"Sent by Watchkeeper at {moment(at)}. Answers to this address are not read."
