"""What every e-mail has: the headers by which mail programs thread it and no program answers it, and links as HTML.

The message's id is made from its key. An e-mail that is sent again after a kill has the same id, and mail servers that
suppress duplicates show it once.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final

from watchkeeper.text import one_line

DOMAIN: Final = "watchkeeper.invalid"  # of message ids, which nobody answers to
LONGEST_SUBJECT: Final = 240
LINE: Final = 78  # characters, as RFC 5322 recommends


def envelope(
    subject: str, *, key: str, thread: str, sender: str, address: str, at: datetime, line: int = LINE
) -> EmailMessage:
    """An e-mail without its text.

    Args:
        thread: names what its reader should see together.
        line: characters after which a header is folded.
    """
    mail = EmailMessage(policy=SMTP.clone(max_line_length=line))
    name, mailbox = parseaddr(sender)
    mail["From"], mail["To"] = Address(name, addr_spec=mailbox), address
    mail["Date"], mail["Subject"] = format_datetime(at), one_line(subject, LONGEST_SUBJECT)
    mail["Message-ID"], mail["References"] = message_id(key), message_id(f"thread {thread}")
    mail["Auto-Submitted"] = "auto-generated"
    return mail


def message_id(key: str) -> str:
    """The id of the message with a key.

    >>> message_id("inc-7f3a01:3:email") == message_id("inc-7f3a01:3:email")
    True
    """
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{DOMAIN}>"


def links_html(links: Sequence[tuple[str, str]]) -> str:
    """Texts with addresses, each a paragraph.

    >>> links_html([("Open <it>", "https://x.example/?a=1&b='2'")])
    "<p><a href='https://x.example/?a=1&amp;b=&#x27;2&#x27;'>Open &lt;it&gt;</a></p>"
    """
    return "".join(f"<p><a href='{html.escape(url, quote=True)}'>{html.escape(name)}</a></p>" for name, url in links)
