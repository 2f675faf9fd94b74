"""The channels that are installed, and those that a configuration puts to use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from alerting.channels.channel import Channel, ChannelContext, ChannelPart
from alerting.incidents.machine import Incident
from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.parts import Registry, read_registry
from watchkeeper.problems import Problems


def accept_channel(name: str, loaded: object) -> ChannelPart:
    """A part of this kind.

    Raises:
        TypeError: the entry point names something else.
    """
    if not isinstance(loaded, ChannelPart):
        raise TypeError(f"{name} must name an alerting.channels.channel.ChannelPart, not {type(loaded).__name__}")
    return loaded


@cache
def channel_registry() -> Registry[ChannelPart]:
    """Every channel that is installed."""
    return read_registry("channel", accept_channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChannels:
    """The channels of a configuration: those that work, and the reason for each that does not."""

    parts: Mapping[str, ChannelPart]
    channels: Mapping[str, Channel]
    broken: Mapping[str, str]


def open_channels(
    config: Config,
    problems: Problems,
    track_record: Callable[[Incident], str] = lambda _: "",
    registry: Registry[ChannelPart] | None = None,
) -> OpenChannels:
    """Make each channel that `channels:` names. One that cannot be made is left out, with its reason."""
    registry = registry or channel_registry()
    parts: dict[str, ChannelPart] = {}
    channels: dict[str, Channel] = {}
    broken: dict[str, str] = {}
    for name, given in config.channels.items():
        kind, settings = kind_of(name, given, registry)
        part = registry.values().get(kind)
        if part is None:
            broken[name] = missing_channel(name, kind, registry)
            continue
        context = ChannelContext(
            name=name, settings=settings, config=config, track_record=track_record, problems=problems
        )
        try:
            channels[name] = part.open(context)
        except KeyError as error:
            broken[name] = f"channel {name} cannot be opened: `channels.{name}` lacks the setting {error}"
            continue
        except WatchkeeperError as error:
            broken[name] = f"channel {name} cannot be opened: {error.message}"
            continue
        except ValueError as error:
            broken[name] = f"channel {name} cannot be opened: {error}; check `channels.{name}`"
            continue
        except Exception as error:  # noqa: BLE001 - whatever a channel dies of, the others must reach people
            broken[name] = f"channel {name} cannot be opened: {type(error).__name__}: {error}; check `channels.{name}`"
            continue
        parts[name] = part
    return OpenChannels(parts=parts, channels=channels, broken=broken)


def kind_of(name: str, settings: Mapping[str, Any], registry: Registry[ChannelPart]) -> tuple[str, Mapping[str, Any]]:
    """The kind of an entry of `channels:`, and its settings: its own name, or what `kind` says.

    So there can be several of a kind, such as two webhooks `sms` and `phone`.
    """
    if name in registry.parts or not isinstance(settings.get("kind"), str):
        return name, settings
    return settings["kind"], {key: value for key, value in settings.items() if key != "kind"}


def kinds_in_use(config: Config) -> Mapping[str, str]:
    """The kind of each entry of `channels:`, by name."""
    return {name: kind_of(name, settings, channel_registry())[0] for name, settings in config.channels.items()}


def missing_channel(name: str, kind: str, registry: Registry[ChannelPart]) -> str:
    """Why a channel that the configuration names is not there."""
    if part := registry.broken_named(kind):
        return f"channel {kind} of {part.origin} cannot be loaded: {part.reason}"
    installed = ", ".join(registry.parts) or "none"
    advice = f"install its package, give the entry a `kind`, or remove `channels.{name}`"
    return f"no channel {kind!r} is installed; there are: {installed}; {advice}"
