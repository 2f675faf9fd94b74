"""E-mail as a part, and a trial over a mailbox of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alerting.channels.channel import ChannelContext, ChannelPart, Trial
from alerting.channels.email.channel import EmailChannel
from alerting.channels.email.mailbox import Mailbox, serving
from watchkeeper.config import Config
from watchkeeper.config_values import mailbox
from watchkeeper.problems import Problems


@contextmanager
def _trial(folder: Path) -> Iterator[Trial]:
    mailbox = Mailbox()

    @contextmanager
    def away() -> Iterator[None]:
        mailbox.is_away = True
        try:
            yield
        finally:
            mailbox.is_away = False

    with serving(mailbox) as port:
        settings = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "pager@example.com"}
        context = ChannelContext(
            name="email", settings=settings, config=Config(data_dir=folder), problems=Problems(None)
        )
        yield Trial(open=lambda: EmailChannel(context), address="ana@example.com", shown=mailbox.texts, away=away)


EMAIL: Final = ChannelPart(
    open=EmailChannel,
    trial=_trial,
    described_by=EmailChannel,
    shows_updates=False,
    check_address=mailbox,
)
