"""The channels that a configuration names, looked at before they are needed."""

from __future__ import annotations

from collections.abc import Iterator

from alerting.channels.registry import channel_registry, kinds_in_use, open_channels
from watchkeeper.config import ReadConfig
from watchkeeper.problems import Problems


def channel_mistakes(found: ReadConfig) -> Iterator[str]:
    """Somebody can be paged: a channel is there, and each address is one that its channel can reach."""
    parts, kinds = channel_registry().values(), kinds_in_use(found.config)
    if not parts.keys() & set(kinds.values()):
        installed = ", ".join(parts) or "none"
        yield f"{found.where('channels')}: none is installed, so nobody could be paged; there are: {installed}"
    mails_by = found.config.status_page.subscriptions.channel
    if mails_by and kinds.get(mails_by) != "email":
        where = found.where("status_page", "subscriptions", "channel")
        yield f"{where}: {mails_by!r} is of kind {kinds.get(mails_by)}; name a channel of kind email"
    for number, person in enumerate(found.config.oncall.people):
        for channel, address in person.addresses.items():
            if part := parts.get(kinds.get(channel, "")):
                try:
                    part.check_address(address)
                except ValueError as error:
                    where = found.where("oncall", "people", number, "addresses", channel)
                    yield f"{where}: {error} (found {address!r})"


def broken_channels(found: ReadConfig) -> Iterator[str]:
    """Channels that are not installed, or whose settings are wrong: the others reach people all the same."""
    for name, why in open_channels(found.config, Problems(None)).broken.items():
        yield f"{found.where('channels', name)}: {why}"
