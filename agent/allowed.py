"""What an agent may do on its host: one YAML file, read strictly. What it does not name is refused.

Every mistake is one line: file, line, key, and what to do.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, model_validator

from agent.finder import SCALE, WrongSetting, described_finder, finder_of, finder_registry
from agent.registry import fault_registry, host_faults
from agent.telemetry.section import TelemetrySection, read_token
from agent.verb_sections import ClearDiskSection, CommandSection, DrainSection, FlagSection, ScaleSection
from agent.verbs.own import OWN_VERBS
from watchkeeper.config_messages import follows, key_of, plain
from watchkeeper.config_sections import Section
from watchkeeper.config_values import FilePath, Host, HttpUrl, Id, Port, Sha256, Share, Text, Variable, Zone
from watchkeeper.errors import AgentError, ConfigError
from watchkeeper.yaml_file import Document, Location, read_document

RESUME: Final = "resume"  # the one verb that needs no finder: SIGCONT
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = get_args(Day)
SHORTEST_TOKEN: Final = 20
LARGEST_TOKEN_BYTES: Final = 4096
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
Mistake = tuple[Location, str]


class TokenSection(Section):
    """Who may ask: a token by its SHA-256, by the variable or the file that holds it."""

    name: Text
    sha256: Sha256 | None = None
    token_env: Variable | None = None
    token_file: FilePath | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> TokenSection:
        if sum(each is not None for each in (self.sha256, self.token_env, self.token_file)) != 1:
            raise ValueError("needs one of `sha256`, `token_env` and `token_file`")
        return self


class TlsSection(Section):
    """The agent's own certificate; with `client_ca`, whoever asks must show one that it signed."""

    certificate: FilePath
    key: FilePath
    client_ca: FilePath | None = None


class HoursSection(Section):
    """When something may be broken: from `start` until before `end`, by the clock of `zone`."""

    zone: Zone = "UTC"
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    start: str = "00:00"
    end: str = "24:00"

    @model_validator(mode="after")
    def _is_a_span(self) -> HoursSection:
        for name, value in (("start", self.start), ("end", self.end)):
            if not (_CLOCK.fullmatch(value) or (name, value) == ("end", "24:00")):
                raise ValueError(f"{name} must be a time such as 09:00")
        if self.start >= self.end:
            raise ValueError("start must be before end, within one day")
        return self

    def hold(self, at: datetime) -> bool:
        """Whether an aware time is inside."""
        local = at.astimezone(ZoneInfo(self.zone))
        clock = time(local.hour, local.minute).isoformat("minutes")
        return DAYS[local.weekday()] in self.days and self.start <= clock < self.end

    def __str__(self) -> str:
        return f"{self.start}-{self.end} {self.zone} on {', '.join(self.days)}"


class BoundsSection(Section):
    """How far anything may go."""

    seconds: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] = 600.0
    share: Share = 1.0
    concurrent: Annotated[int, Field(ge=1, le=100)] = 1
    hours: HoursSection | None = None


class ServiceBounds(Section):
    """The bounds of one service, where they are narrower than those of the agent."""

    seconds: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] | None = None
    share: Share | None = None
    hours: HoursSection | None = None


class ProbeSection(Section):
    """One real request, as the service's callers send it."""

    url: HttpUrl
    method: Literal["GET", "HEAD", "POST"] = "GET"
    path: Annotated[str, Field(pattern=r"^/\S*$", max_length=2000)] = "/"
    body: dict[str, Any] | None = None


class ProxySection(Section):
    """The agent's TCP proxy in front of a service: callers are led to `listen`, and the service listens on `to`."""

    listen: Annotated[Port, Field(ge=1)]
    to: Annotated[Port, Field(ge=1)]
    listen_host: Host = "127.0.0.1"
    to_host: Host = "127.0.0.1"

    @property
    def leads_to_itself(self) -> bool:
        hosts = {self.listen_host, self.to_host}
        return self.listen == self.to and (len(hosts) == 1 or "0.0.0.0" in hosts)  # noqa: S104 - every address


class ServiceSection(Section):
    """One service: how it is found, and what may be done to it."""

    find: dict[Id, dict[str, Any]]
    verbs: tuple[Id, ...] = ()
    faults: tuple[Id, ...] = ()
    commands: dict[Id, CommandSection] = {}  # noqa: RUF012 - pydantic copies it
    flags: dict[Id, FlagSection] = {}  # noqa: RUF012 - pydantic copies it
    drain: DrainSection | None = None
    scale: ScaleSection | None = None
    clear_disk: ClearDiskSection | None = None
    probe: ProbeSection | None = None
    proxy: ProxySection | None = None
    settings: dict[Id, str] = {}  # noqa: RUF012 - pydantic copies it
    bounds: ServiceBounds = ServiceBounds()


class AgentFile(Section):
    """The whole file."""

    name: Text
    host: Host = "127.0.0.1"
    port: Port = 9411
    state_dir: FilePath = Path("agent-state")
    tokens: Annotated[tuple[TokenSection, ...], Field(min_length=1)]
    tls: TlsSection | None = None
    bounds: BoundsSection = BoundsSection()
    services: dict[Id, ServiceSection] = {}  # noqa: RUF012 - pydantic copies it
    telemetry: TelemetrySection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The file as it was read, with the digest of each token, and each service's finder as JSON values."""

    path: Path
    file: AgentFile
    tokens: dict[str, str]  # name → SHA-256, in hexadecimal digits
    finders: dict[str, dict[str, Any]]

    def service(self, name: str) -> ServiceSection | None:
        return self.file.services.get(name)

    def longest_s(self, service: str) -> float:
        own = self.file.services[service].bounds.seconds
        return min(own, self.file.bounds.seconds) if own else self.file.bounds.seconds

    def share(self, service: str) -> float:
        own = self.file.services[service].bounds.share
        return min(own, self.file.bounds.share) if own else self.file.bounds.share

    def closed(self, service: str, at: datetime) -> str:
        """Which key closes a service to faults at a time, with its hours; empty: it is open."""
        for key, hours in (
            ("bounds.hours", self.file.bounds.hours),
            (f"services.{service}.bounds.hours", self.file.services[service].bounds.hours),
        ):
            if hours and not hours.hold(at):
                return f"{key} ({hours})"
        return ""


def read_allowed(path: Path) -> Allowed:
    """Read and check an agent's file.

    Raises:
        ConfigError: one line a mistake, with file, line, key and what to do.
    """
    document = read_document(path)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: the file must hold keys and values; `watchkeeper agent init` writes one.")
    try:
        file = AgentFile.model_validate(data, context={"folder": path.absolute().parent})
    except ValidationError as error:
        mistakes = [each for each in error.errors() if not follows(each, error.errors())]
        raise _refused(document, [(key_of(each), plain(each)) for each in mistakes]) from error
    mistakes_of_parts = [mistake for name in file.services for mistake in _part_mistakes(file, name)]
    mistakes_of_parts += _telemetry_mistakes(file)
    tokens: dict[str, str] = {}
    for number, token in enumerate(file.tokens):
        if token.name in tokens:
            mistakes_of_parts.append((("tokens", number, "name"), "another token has this name; choose another"))
        try:
            tokens[token.name] = _digest(token)
        except ValueError as error:
            mistakes_of_parts.append((("tokens", number), str(error)))
    if mistakes_of_parts:
        raise _refused(document, mistakes_of_parts)
    finders = {name: described_finder(*_finder(service)) for name, service in file.services.items()}
    return Allowed(path=path, file=file, tokens=tokens, finders=finders)


def _refused(document: Document, mistakes: list[tuple[Location, str]]) -> ConfigError:
    lines = sorted((document.line(key), f"{document.where(key)}: {what}") for key, what in mistakes)
    return ConfigError("\n".join(line for _, line in lines))


def _finder(service: ServiceSection) -> tuple[str, dict[str, Any]]:
    ((kind, settings),) = service.find.items()
    return kind, settings


def _part_mistakes(file: AgentFile, name: str) -> list[Mistake]:
    """Finders, verbs, faults and addresses that are not there."""
    service, here = file.services[name], ("services", name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return [(here, "a service's name may hold letters, digits, `.`, `_` and `-` only")]
    if len(service.find) != 1:
        return [((*here, "find"), f"needs one way to find it: {', '.join(finder_registry().parts)}")]
    kind, settings = _finder(service)
    try:
        finder = finder_of(described_finder(kind, settings))
    except WrongSetting as error:
        return [((*here, "find", kind, *([error.key] if error.key else [])), error.what)]
    except AgentError as error:
        return [((*here, "find", kind), error.message)]
    mistakes: list[Mistake] = []
    passes_on = "*" in finder.verbs
    for number, verb in enumerate(service.verbs):
        if verb in OWN_VERBS and not passes_on:
            words = f"`{verb}` is allowed by `{OWN_VERBS[verb].allowed_by}`; remove it here, and set that"
            mistakes.append(((*here, "verbs", number), words))
        elif verb != RESUME and verb not in finder.verbs and not passes_on:
            offered = ", ".join(sorted({*finder.verbs, RESUME} - {SCALE}))
            mistakes.append(((*here, "verbs", number), f"{kind} can't {verb}; there are {offered}"))
    mistakes += _own_verb_mistakes(file, name, kind, can_scale=SCALE in finder.verbs or passes_on)
    for number, fault in enumerate(service.faults):
        if fault not in host_faults():
            broken = fault_registry().broken_named(fault)
            why = (
                f"cannot be loaded: {broken.reason}"
                if broken
                else f"no such fault; there are {', '.join(host_faults())}"
            )
            mistakes.append(((*here, "faults", number), why))
    if service.proxy and service.proxy.leads_to_itself:
        mistakes.append(((*here, "proxy", "to"), "the proxy would lead to itself; it listens on this port"))
    return mistakes


def _own_verb_mistakes(file: AgentFile, name: str, kind: str, *, can_scale: bool) -> list[Mistake]:
    """Sections of verbs of the agent's own that lack what they need."""
    service, here, mistakes = file.services[name], ("services", name), list[Mistake]()
    if service.scale and not can_scale:
        mistakes.append(((*here, "scale"), f"{kind} can't scale {name}, as it is found here"))
    if service.drain and not service.drain.do and not service.proxy:
        mistakes.append(((*here, "drain"), "needs `do` and `undo`, or a `proxy` that drains it"))
    if service.clear_disk and service.clear_disk.holds(file.state_dir):
        mistakes.append(((*here, "clear_disk", "folders"), f"the agent's own {file.state_dir} must be outside of them"))
    return mistakes


def _telemetry_mistakes(file: AgentFile) -> list[Mistake]:
    """A token that is not there, and a port that the agent itself has."""
    if file.telemetry is None:
        return []
    mistakes: list[Mistake] = []
    try:
        read_token(file.telemetry)
    except ValueError as error:
        mistakes.append((("telemetry", "token_env" if file.telemetry.token_env else "token_file"), str(error)))
    if file.telemetry.receive.port == file.port != 0:
        mistakes.append((("telemetry", "receive"), f"port {file.port} is the agent's own; set another `port`"))
    return mistakes


def _digest(token: TokenSection) -> str:
    """The SHA-256 of a token. Raises ValueError where the variable or the file holds none."""
    if token.sha256:
        return token.sha256
    if token.token_env:
        where, text = f"the environment variable {token.token_env}", os.environ.get(token.token_env, "").strip()
    else:
        where = f"the file {token.token_file}"
        try:
            with open(str(token.token_file), "rb") as file:  # noqa: PTH123 - as bytes, and not more than a token has
                text = file.read(LARGEST_TOKEN_BYTES).decode("ascii", "replace").strip()
        except OSError as error:
            raise ValueError(f"{where} cannot be read: {error.strerror}") from error
    if len(text) < SHORTEST_TOKEN:
        state = "is not set or empty" if not text else f"holds fewer than {SHORTEST_TOKEN} characters"
        raise ValueError(f"{where} {state}; `watchkeeper agent init` makes a token")
    return hashlib.sha256(text.encode()).hexdigest()
