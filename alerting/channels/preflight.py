"""The channels that a configuration names, looked at before they are needed."""

from __future__ import annotations

from collections.abc import Iterator

from alerting.channels.registry import channel_registry, missing_channel
from watchkeeper.config import ReadConfig


def channel_mistakes(found: ReadConfig) -> Iterator[str]:
    """Somebody can be paged: a channel is there, and each address is one that its channel can reach."""
    parts = channel_registry().values()
    if not parts.keys() & found.config.channels.keys():
        installed = ", ".join(parts) or "none"
        yield f"{found.where('channels')}: none is installed, so nobody could be paged; there are: {installed}"
    for number, person in enumerate(found.config.oncall.people):
        for channel, address in person.addresses.items():
            if part := parts.get(channel):
                try:
                    part.check_address(address)
                except ValueError as error:
                    where = found.where("oncall", "people", number, "addresses", channel)
                    yield f"{where}: {error} (found {address!r})"


def missing_channels(found: ReadConfig) -> Iterator[str]:
    """Channels that are configured and not installed: the others reach people all the same."""
    registry = channel_registry()
    for name in found.config.channels:
        if name not in registry.parts:
            yield f"{found.where('channels', name)}: {missing_channel(name, registry)}"
