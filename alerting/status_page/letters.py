"""What subscribers read: the public page's own texts, with its title and the names of its components. Pure."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Final

from alerting.channels.email.envelope import envelope, links_html
from alerting.status_page.updates import StatusUpdate
from watchkeeper.config import StatusPageConfig
from watchkeeper.text import one_line, page_text

IMPACT: Final = {"none": "operational", "degraded": "degraded", "outage": "outage"}
# A link is one word, which must not be folded: that would encode it.
_LINE: Final = 990


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One e-mail: a heading, paragraphs, and texts with addresses. `ending_url` unsubscribes; empty for none."""

    subject: str
    paragraphs: Sequence[str]
    links: Sequence[tuple[str, str]] = ()
    ending_url: str = ""


def update_letter(update: StatusUpdate, page: StatusPageConfig, ending_url: str) -> Letter:
    """A public update, as the page shows it. Its reader learns no id, service, or name of a person."""
    names = {component.id: component.name for component in page.components}
    about = ", ".join(names[one] for one in update.components if one in names) or "General"
    at = update.approved_at or update.at
    state = f"{about}: {update.state}" + ("" if update.state == "resolved" else f", {IMPACT[update.impact]}")
    page_url = page.subscriptions.page_url
    why = "You get this because you subscribed to these updates."
    return Letter(
        subject=f"[{page.title}] {state}",
        paragraphs=(state, page_text(update.text), f"{at:%Y-%m-%d %H:%M} UTC", why),
        links=[("All updates", page_url)] if page_url else [],
        ending_url=ending_url,
    )


def question_letter(page: StatusPageConfig, wanted: Sequence[str], confirming_url: str) -> Letter:
    """Whether somebody really wants the updates: whoever typed the address may be somebody else."""
    names = [component.name for component in page.components if component.id in wanted]
    about = f"updates of {', '.join(names)}" if names else "updates of every component"
    return Letter(
        subject=f"[{page.title}] Confirm your subscription",
        paragraphs=(
            f"Somebody, probably you, asked for {about} at this address.",
            "Open the link and confirm within two days. If it was not you, do nothing: no more e-mails will come.",
        ),
        links=[("Confirm", confirming_url)],
    )


def compose(letter: Letter, *, key: str, thread: str, sender: str, address: str, at: datetime) -> EmailMessage:
    """The e-mail. `key` and `thread` are digests that tell nothing; the same key makes the same message id."""
    to = {"key": key, "thread": thread, "sender": sender, "address": address}
    mail = envelope(one_line(letter.subject, 200), **to, at=at, line=_LINE)
    mail["Precedence"] = "bulk"
    links = [*letter.links]
    if letter.ending_url:
        # One press in the mail program ends it, without a page (RFC 8058).
        mail["List-Unsubscribe"] = f"<{letter.ending_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        links.append(("Unsubscribe", letter.ending_url))
    plain = [*letter.paragraphs, "\n".join(f"{name}: {url}" for name, url in links)]
    mail.set_content("\n\n".join(filter(None, plain)) + "\n")
    mail.add_alternative(_html(letter, links), subtype="html")
    return mail


def _html(letter: Letter, links: Sequence[tuple[str, str]]) -> str:
    parts = "".join(f"<p style='white-space:pre-line'>{html.escape(text)}</p>" for text in letter.paragraphs)
    return f"<!doctype html><html><body style='font:15px/1.5 sans-serif'>{parts}{links_html(links)}</body></html>"
