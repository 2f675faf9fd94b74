"""One YAML file becomes one frozen, validated tree when a role starts.

An error names file, line and key. Secrets never stand in the file: a key that ends in `_env` names
the environment variable that holds one, and only this module reads the environment. What Watchkeeper
generates for itself (the store's password, the local command token) is kept in `data_dir/secrets`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import secrets as random_secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from watchkeeper.config_checks import file_mistakes, oncall_mistakes, placeholders, refuse
from watchkeeper.config_messages import follows, key_of, plain
from watchkeeper.config_values import (
    Count,
    Delay,
    FilePath,
    Host,
    HttpUrl,
    Id,
    LocalTime,
    Mebibytes,
    Port,
    ScrapeTarget,
    Seconds,
    Sha256,
    Share,
    SqlName,
    StateUrl,
    Text,
    UrlPath,
    Variable,
    Zone,
    bracketed,
)
from watchkeeper.errors import ConfigError
from watchkeeper.private_files import secret
from watchkeeper.yaml_file import Document, read_document


class Section(BaseModel):
    """A part of the file: frozen, and an unknown key is an error. A default is checked as if it were written."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, data: Any) -> Any:
        """A section whose keys are all commented out (`web:` alone) has its defaults."""
        if not isinstance(data, dict):
            return data
        sections = {name for name, field in cls.model_fields.items() if isinstance(field.default, Section)}
        return {key: value for key, value in data.items() if value is not None or key not in sections}

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name and cls.model_fields[info.field_name].annotation in (int, float):
            raise ValueError("must be a number")
        return value


class TokenConfig(Section):
    """A credential for writers: only the SHA-256 of the token is kept."""

    name: Text
    sha256: Sha256
    scopes: Annotated[tuple[Literal["ingest", "changes", "commands"], ...], Field(min_length=1)]


class StoreConfig(Section):
    """Where telemetry is kept. Without `url`, the store role serves an embedded engine."""

    url: HttpUrl | None = None
    host: Host = "127.0.0.1"
    port: Port = 8123
    database: SqlName = "otel"
    user: Id = "watchkeeper"
    password_env: Variable | None = None
    retention_days: Annotated[float, Field(ge=1 / 24, le=3660, allow_inf_nan=False)] = 7
    memory_mib: Annotated[Mebibytes, Field(ge=256)] = 700
    readers: Annotated[int, Field(ge=1, le=64)] = 4


class ScrapeConfig(Section):
    """A Prometheus scrape job: every target is read each `interval_s`.

    `timeout_s` and `max_mib` hold for a whole page. A redirect is followed on the same server; to another host only
    where `redirect_hosts` names it (`host`, `host:port`, or `*` for any).
    """

    job: Text
    targets: Annotated[tuple[ScrapeTarget, ...], Field(min_length=1)]
    path: UrlPath = "/metrics"
    interval_s: Seconds = 15
    timeout_s: Seconds = 5
    max_mib: Annotated[Mebibytes, Field(le=256)] = 16
    redirect_hosts: tuple[Text, ...] = ()
    labels: dict[Text, Text] = {}


class IngestConfig(Section):
    """Receivers: OTLP over HTTP and gRPC, scrapes, alerts and change events."""

    host: Host = "127.0.0.1"
    otlp_http_port: Port = 4318
    otlp_grpc_port: Port = 4317
    max_request_mib: Annotated[Mebibytes, Field(le=1024)] = 16
    max_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000
    max_expanded_mib: Annotated[Mebibytes, Field(le=4096)] = 128
    max_value_kib: Annotated[int, Field(ge=1, le=16_384)] = 64
    max_ahead_hours: Annotated[float, Field(ge=0, le=8760)] = 24
    max_sender_mib_s: Annotated[float, Field(ge=0, le=65_536)] = 64
    allowed_hosts: tuple[Host, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_backlog_mib: Annotated[int, Field(ge=16, le=1 << 30)] = 1024
    segment_seconds: Annotated[Seconds, Field(le=3600)] = 2.5
    segment_mib: Annotated[Mebibytes, Field(le=1024)] = 24
    alerts_per_request: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    alerts_expire_hours: Annotated[float, Field(gt=0, le=8760)] = 36
    scrape: tuple[ScrapeConfig, ...] = ()


class StateConfig(Section):
    """Incidents, timers, labels and models: SQLite beside the data, or PostgreSQL by URL."""

    url: StateUrl | None = None
    url_env: Variable | None = None


class WatchConfig(Section):
    """Detection, diagnosis, paging and learning."""

    tick_s: Seconds = 2
    history_minutes: Annotated[float, Field(ge=1, le=366 * 1440, allow_inf_nan=False)] = 60
    settle_s: Delay = 4
    clear_s: Seconds = 20
    ack_timeout_s: Seconds = 1800
    late_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 600


class GateConfig(Section):
    """What a model version must show before it may decide. The defaults are for production.

    A label counts an incident once for each source. `shadow_s` and `canary_s` are how long a version must have been
    watched in its stage; `canary_labels` how many incidents somebody judged meanwhile. `missed` is how many pages that
    were warranted, by either source, a version may lose: leave it at 0 unless labels are known to be wrong.
    """

    human_labels: Annotated[Count, Field(ge=1)] = 10
    chaos_labels: Count = 5
    warranted: Annotated[Count, Field(ge=1)] = 3
    missed: Count = 0
    shadow_s: Delay = 3600
    canary_s: Delay = 86_400
    canary_labels: Count = 3
    canary_share: Share = 0.25


class GuardConfig(Section):
    """What a false page must have in common with earlier ones before it is suppressed.

    `similar` and `similar_severe` are how many incidents with a similar finding people or chaos judged false; one on
    another service counts two thirds, unless both agree. A finding is severe where users feel it for certain: silence,
    `severe_error_share` of requests failing, or `severe_extra_ms` more than usual.
    """

    similar: Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)] = 2
    similar_severe: Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)] = 8
    severe_error_share: Share = 0.2
    severe_extra_ms: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] = 1000

    @model_validator(mode="after")
    def _severe_needs_more(self) -> GuardConfig:
        if self.similar_severe < self.similar:
            raise ValueError("similar_severe must not be less than similar: a severe finding needs more evidence")
        return self


class LearningConfig(Section):
    """Labels to detectors: when a version may decide, and what it may suppress.

    With `automatic`, a version that passes the gate moves on by itself; without, somebody runs `watchkeeper model
    promote`. `teams` name services by team, for the fairness monitor.
    """

    automatic: bool = True
    gate: GateConfig = GateConfig()
    guard: GuardConfig = GuardConfig()
    teams: dict[Text, tuple[Text, ...]] = {}


class WebConfig(Section):
    """The dashboard, the API and Slack's endpoint."""

    host: Host = "127.0.0.1"
    port: Port = 8050
    public_url: HttpUrl | None = None


class SlackStandInConfig(Section):
    """A local page that speaks Slack's HTTP API, used where no Slack token is configured."""

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: Port = 8065


class SlackConfig(Section):
    """Slack: real where `token_env` names a set variable, else the local stand-in."""

    token_env: Variable = "WATCHKEEPER_SLACK_TOKEN"
    signing_secret_env: Variable = "WATCHKEEPER_SLACK_SIGNING_SECRET"
    channel: Annotated[str, Field(pattern=r"^#?[^\s#@<>]{1,80}$")] = "incidents"
    stand_in: SlackStandInConfig = SlackStandInConfig()


# What a channel's own package reads; `slack:` alone has no settings.
ChannelSettings = Annotated[dict[str, Any], BeforeValidator(lambda given: {} if given is None else given)]


class PersonConfig(Section):
    """Somebody who can be paged: `addresses` are by channel, such as `{slack: U012AB3CD}`."""

    id: Id
    name: Text
    addresses: dict[Id, Text] = {}
    timezone: Zone = "UTC"

    def address(self, channel: str) -> str:
        """Where a channel reaches them; empty where it does not."""
        return self.addresses.get(channel, "")


class LayerConfig(Section):
    """A rotation: `people` take turns of `turn_hours`, from `start` on, in the schedule's zone."""

    people: Annotated[tuple[str, ...], Field(min_length=1)]
    start: LocalTime = "2025-01-06T09:00"
    turn_hours: Annotated[float, Field(ge=1 / 60, le=366 * 24, allow_inf_nan=False)] = 168


class ScheduleConfig(Section):
    """Layers from lowest to highest: a later layer covers the ones before it."""

    id: Id
    timezone: Zone = "UTC"
    layers: Annotated[tuple[LayerConfig, ...], Field(min_length=1)]
    fallback: str | None = None


class EscalationStep(Section):
    """After `after_s` without an ack, page `notify` (a schedule's or a person's id)."""

    after_s: Delay
    notify: str


class DigestConfig(Section):
    """The daily digest of open tickets: at `hour`, in `timezone` or in the first schedule's."""

    enabled: bool = True
    hour: Annotated[int, Field(ge=0, le=23)] = 9
    timezone: Zone | None = None


class OnCallConfig(Section):
    """People, schedules, who is paged when nobody acknowledges, and when tickets are listed."""

    people: Annotated[tuple[PersonConfig, ...], Field(min_length=1)] = (
        PersonConfig(id="oncall", name="On call", addresses={"slack": "U0ONCALL"}),
    )
    schedules: tuple[ScheduleConfig, ...] = (
        ScheduleConfig(id="primary", layers=(LayerConfig(people=("oncall",)),), fallback="oncall"),
    )
    escalation: tuple[EscalationStep, ...] = (
        EscalationStep(after_s=0, notify="primary"),
        EscalationStep(after_s=300, notify="primary"),
        EscalationStep(after_s=900, notify="primary"),
    )
    digest: DigestConfig = DigestConfig()

    @model_validator(mode="after")
    def _holds_together(self) -> OnCallConfig:
        refuse("oncall", oncall_mistakes(self))
        return self


class RolesConfig(Section):
    """Roles that hang: one whose main loop has not turned for `hung_after_s` is started again by its supervisor."""

    hung_after_s: Annotated[float, Field(ge=5, le=86_400, allow_inf_nan=False)] = 30


class RunbookTargetConfig(Section):
    """What runbook steps act on and experiments break. `settings` are for kinds of target from other packages."""

    kind: str = "control-api"
    url: HttpUrl | None = None
    token_env: Variable | None = None
    settings: dict[str, str | int | float | bool] = {}

    @property
    def is_set(self) -> bool:
        """Whether a target is configured; the built-in kind has an address, another may have settings alone."""
        return self.url is not None or self.kind != "control-api"


class RunbookConfig(Section):
    """Where runbooks are, and what they act on."""

    dir: FilePath | None = None
    target: RunbookTargetConfig = RunbookTargetConfig()


class Config(Section):
    """The whole file."""

    data_dir: FilePath = Path("watchkeeper-data")
    store: StoreConfig = StoreConfig()
    ingest: IngestConfig = IngestConfig()
    sources: dict[Id, dict[str, Any] | None] = {}
    state: StateConfig = StateConfig()
    watch: WatchConfig = WatchConfig()
    roles: RolesConfig = RolesConfig()
    learning: LearningConfig = LearningConfig()
    web: WebConfig = WebConfig()
    slack: SlackConfig = SlackConfig()
    channels: Annotated[dict[Id, ChannelSettings], Field(min_length=1)] = {"slack": {}}
    oncall: OnCallConfig = OnCallConfig()
    runbooks: RunbookConfig = RunbookConfig()
    slo: tuple[FilePath, ...] = ()
    tokens: tuple[TokenConfig, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Config:
        refuse("file", file_mistakes(self))
        return self

    @property
    def store_url(self) -> str:
        return self.store.url or f"http://{bracketed(self.store.host)}:{self.store.port}"

    @property
    def state_url(self) -> str:
        if self.state.url_env:
            return environment(self.state.url_env, "state.url_env")
        return self.state.url or f"sqlite:///{self.data_dir / 'state.db'}"

    @property
    def ingest_log_dir(self) -> Path:
        return self.data_dir / "ingest-log"

    @property
    def web_url(self) -> str:
        return self.web.public_url or f"http://{bracketed(self.web.host)}:{self.web.port}"

    def secret(self, name: str) -> str:
        """A secret that Watchkeeper made for itself: read from, or first written to, data_dir/secrets; never empty.

        Names in use: `store` (the embedded engine's password), `commands` (the local token with every
        scope), `session` (signs cookies), `calendar` (in the address of the on-call feed), `slack-signing` and
        `slack-token` (between the roles and the Slack stand-in).
        """
        return secret(self.data_dir / "secrets", name)

    def store_password(self) -> str:
        """The store's password: from the environment for a cluster, generated for the embedded engine."""
        if self.store.password_env:
            return environment(self.store.password_env, "store.password_env")
        return "" if self.store.url else self.secret("store")

    @property
    def slack_is_real(self) -> bool:
        return bool(os.environ.get(self.slack.token_env))

    def slack_token(self) -> str:
        return os.environ.get(self.slack.token_env) or "xoxb-" + self.secret("slack-token")

    def slack_signing_secret(self) -> str:
        if self.slack_is_real:
            return environment(self.slack.signing_secret_env, "slack.signing_secret_env")
        return self.secret("slack-signing")

    def slack_api_url(self) -> str:
        if self.slack_is_real:
            return "https://slack.com/api/"
        return f"http://{bracketed(self.slack.stand_in.host)}:{self.slack.stand_in.port}/api/"

    def runbook_target_token(self) -> str:
        name = self.runbooks.target.token_env
        return environment(name, "runbooks.target.token_env") if name else ""

    def token_allows(self, token: str, scope: str) -> bool:
        """Whether a bearer token may do `scope`. The local command token may do everything; an empty one, nothing."""
        if not token.strip():
            return False
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        local = hashlib.sha256(self.secret("commands").encode()).hexdigest()
        allowed = [local] + [t.sha256 for t in self.tokens if scope in t.scopes]
        # No early exit: how long this takes must not tell which token came close.
        matches = [random_secrets.compare_digest(digest, known) for known in allowed]
        return any(matches)

    def calendar_url(self, schedule_id: str) -> str:
        """Where a calendar subscribes to a schedule: whoever has the address may read it."""
        return f"{self.web_url}/calendar/{self.secret('calendar')}.ics?schedule={quote(schedule_id)}"

    def calendar_allows(self, token: str) -> bool:
        """Whether a feed's address holds the right secret. Digests are compared, in constant time."""
        digests = [
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (token, self.secret("calendar"))
        ]
        return random_secrets.compare_digest(*digests)

    def require_safe_binding(self, role: Literal["ingest", "web"]) -> None:
        """Refuse to listen beyond loopback while no credential is configured."""
        host = self.ingest.host if role == "ingest" else self.web.host
        scope = "ingest" if role == "ingest" else "commands"
        if is_loopback(host) or any(scope in token.scopes for token in self.tokens):
            return
        raise ConfigError(
            f"{role}.host is {host}, which others can reach, but no token with the scope {scope!r} is configured. "
            f"Run `watchkeeper token new --scope {scope}` and add what it prints under `tokens:`, "
            f"or set {role}.host to 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def environment(name: str, key: str) -> str:
    """The environment variable that the configuration's `key` names."""
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"{key} names the environment variable {name}, which is not set. Set it and start again.")
    return value


def load(path: Path | None) -> Config:
    """Read and validate a configuration file; without a path, the defaults."""
    return read(path).config


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfig:
    """A configuration, and where it stands, so that whoever resolves a value later can say from which line it came."""

    config: Config
    document: Document | None

    def where(self, *location: int | str) -> str:
        """`file:line: key`; without a file, the key."""
        return self.document.where(location) if self.document else ".".join(map(str, location))


def read(path: Path | None) -> ReadConfig:
    """Read and validate a configuration file, and keep its lines; without a path, the defaults.

    Raises:
        ConfigError: one line a mistake: file, line, key, and what to do.
    """
    if path is None:
        return ReadConfig(config=Config(), document=None)
    document = read_document(path)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: the file must hold keys and values, such as `data_dir: ./data`.")
    if unfilled := list(placeholders(data)):
        raise ConfigError("\n".join(f"{document.where(key)}: {what}" for key, what in unfilled))
    try:
        config = Config.model_validate(data, context={"folder": path.absolute().parent})
    except ValidationError as error:
        mistakes = [e for e in error.errors() if not follows(e, error.errors())]
        found = [(document.line(e["loc"]), f"{document.where(key_of(e))}: {plain(e)}") for e in mistakes]
        raise ConfigError("\n".join(line for _, line in sorted(found))) from error
    return ReadConfig(config=config, document=document)
