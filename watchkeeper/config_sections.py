"""What each section of the configuration file may hold: its keys, their limits and their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from watchkeeper.config_checks import refuse, repeated
from watchkeeper.config_values import (
    YEAR_S,
    Count,
    Delay,
    FilePath,
    Host,
    HttpUrl,
    Id,
    Mebibytes,
    Port,
    ScrapeTarget,
    Seconds,
    Sender,
    Sha256,
    Share,
    SqlName,
    StateUrl,
    Text,
    UrlPath,
    Variable,
    Zone,
)


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
    """A credential: only the SHA-256 of the token is kept. One that is a `person`'s acts as nobody else."""

    name: Text
    person: Id | None = None
    sha256: Sha256
    scopes: Annotated[tuple[Literal["ingest", "changes", "commands", "heartbeats", "rota"], ...], Field(min_length=1)]


class HeartbeatConfig(Section):
    """A system that must show that it is alive, and how often; `service` is what its incident names."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    every_s: Annotated[Seconds, Field(ge=1)]
    grace_s: Annotated[float, Field(ge=0, le=YEAR_S, allow_inf_nan=False)] = 60
    service: Text | None = None


class CanaryConfig(Section):
    """The alert that Watchkeeper raises for itself: how often, and within how long it must be acknowledged.

    Its page goes to `channel` at `address`; by default to one without a human. `fallback` is the channel by which
    whoever is on call is told first that it failed.
    """

    enabled: bool = True
    every_s: Annotated[Seconds, Field(ge=60)] = 3600
    within_s: Annotated[Seconds, Field(ge=30, le=1500)] = 120
    channel: Id | None = None
    address: Text | None = None
    fallback: Id | None = None
    webhook_url: HttpUrl | None = None

    @model_validator(mode="after")
    def _ends_before_the_next(self) -> CanaryConfig:
        if self.within_s >= self.every_s:
            raise ValueError("within_s must be less than every_s: one run must end before the next begins")
        return self


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
    segment_seconds: Annotated[Seconds, Field(le=3600)] = 5
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

    tick_s: Seconds = 5
    history_minutes: Annotated[float, Field(ge=1, le=366 * 1440, allow_inf_nan=False)] = 60
    settle_s: Delay = 1
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
    """Slack: real where `token_env` names a set variable, else the local stand-in.

    With `socket_mode`, the web role opens a connection to Slack with the app-level token, and has no request URL.
    """

    token_env: Variable = "WATCHKEEPER_SLACK_TOKEN"
    signing_secret_env: Variable = "WATCHKEEPER_SLACK_SIGNING_SECRET"
    socket_mode: bool = False
    app_token_env: Variable = "WATCHKEEPER_SLACK_APP_TOKEN"
    channel: Annotated[str, Field(pattern=r"^#?[^\s#@<>]{1,80}$")] = "incidents"
    stand_in: SlackStandInConfig = SlackStandInConfig()


# What a channel's own package reads; `slack:` alone has no settings.
ChannelSettings = Annotated[dict[str, Any], BeforeValidator(lambda given: {} if given is None else given)]


class NotificationRule(Section):
    """Page a person by `channel`, `after_s` seconds after the page, unless somebody acknowledged by then."""

    channel: Id
    after_s: Delay = 0


class PersonConfig(Section):
    """Somebody who can be paged: `addresses` are by channel, such as `{slack: U012AB3CD}`.

    Without `notification_rules`, each page goes out by all of them at once.
    """

    id: Id
    name: Text
    addresses: dict[Id, Text] = {}
    notification_rules: tuple[NotificationRule, ...] = ()
    timezone: Zone = "UTC"

    def address(self, channel: str) -> str:
        """Where a channel reaches them; empty where it does not."""
        return self.addresses.get(channel, "")


class RolesConfig(Section):
    """Roles that hang: one whose main loop has not turned for `hung_after_s` is started again by its supervisor."""

    hung_after_s: Annotated[float, Field(ge=5, le=86_400, allow_inf_nan=False)] = 30


class TargetConfig(Section):
    """A system whose services runbook steps act on and experiments break. `settings` are for its kind.

    `ca_file` checks the target's certificate; `cert_file` and `key_file` are our own, for mutual TLS.
    """

    kind: Id = "control-api"
    url: HttpUrl | None = None
    token_env: Variable | None = None
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    settings: dict[str, str | int | float | bool] = {}

    @model_validator(mode="after")
    def _tls_has_what_it_needs(self) -> TargetConfig:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file is the key of cert_file; add cert_file")
        if (self.ca_file or self.cert_file) and (self.url or "").startswith("http://"):
            raise ValueError("ca_file and cert_file are for https; write url: https://…")
        return self


class RunbookConfig(Section):
    """Where runbooks are."""

    dir: FilePath | None = None


class BoardConfig(Section):
    """Where boards are."""

    dir: FilePath | None = None


class ComponentConfig(Section):
    """A part of the product as its users know it, and the services behind it, which nobody outside sees."""

    id: Id
    name: Text
    services: tuple[Text, ...] = ()


class SubscriptionConfig(Section):
    """Public updates by e-mail: sent through `channel`, one of `channels:` of kind `email`. Unset: by none.

    `sender` is whom the public reads as the sender, in place of the channel's.
    """

    channel: Id | None = None
    sender: Sender | None = None
    page_url: HttpUrl | None = None
    mails_per_minute: Annotated[int, Field(ge=1, le=6000)] = 60


class StatusPageConfig(Section):
    """A public status page: static files, which the watch role keeps in `dir`."""

    title: Text = "Status"
    dir: FilePath | None = None
    components: tuple[ComponentConfig, ...] = ()
    subscriptions: SubscriptionConfig = SubscriptionConfig()

    @model_validator(mode="after")
    def _holds_together(self) -> StatusPageConfig:
        for field in ("id", "name"):
            names = [getattr(component, field) for component in self.components]
            refuse("status_page", repeated(names, ("components",), field, f"the {field}"))
        return self
