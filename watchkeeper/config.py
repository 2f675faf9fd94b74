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

from pydantic import Field, ValidationError, model_validator

from watchkeeper.config_chaos import ApprovalConfig, ChaosConfig, ScheduledExperimentConfig, ScheduleRule
from watchkeeper.config_checks import file_mistakes, placeholders, refuse
from watchkeeper.config_messages import follows, key_of, plain
from watchkeeper.config_oncall import (
    DigestConfig,
    EscalationStep,
    LayerConfig,
    OnCallConfig,
    PolicyConfig,
    ScheduleConfig,
)
from watchkeeper.config_sections import (
    BoardConfig,
    CanaryConfig,
    ChannelSettings,
    GateConfig,
    GuardConfig,
    HeartbeatConfig,
    IngestConfig,
    LearningConfig,
    NotificationRule,
    PersonConfig,
    RolesConfig,
    RunbookConfig,
    ScrapeConfig,
    Section,
    SlackConfig,
    SlackStandInConfig,
    StateConfig,
    StatusPageConfig,
    StoreConfig,
    TargetConfig,
    TokenConfig,
    WatchConfig,
    WebConfig,
)
from watchkeeper.config_values import FilePath, Id, TargetName, bracketed
from watchkeeper.errors import ConfigError, KeysError
from watchkeeper.private_files import secret
from watchkeeper.yaml_file import Document, read_document

__all__ = [
    "ApprovalConfig",
    "BoardConfig",
    "CanaryConfig",
    "ChaosConfig",
    "Config",
    "DigestConfig",
    "EscalationStep",
    "GateConfig",
    "GuardConfig",
    "IngestConfig",
    "LayerConfig",
    "LearningConfig",
    "NotificationRule",
    "OnCallConfig",
    "PersonConfig",
    "PolicyConfig",
    "ReadConfig",
    "RolesConfig",
    "RunbookConfig",
    "ScheduleConfig",
    "ScheduleRule",
    "ScheduledExperimentConfig",
    "ScrapeConfig",
    "SlackConfig",
    "SlackStandInConfig",
    "StateConfig",
    "StatusPageConfig",
    "StoreConfig",
    "TargetConfig",
    "TokenConfig",
    "WatchConfig",
    "WebConfig",
    "environment",
    "is_loopback",
    "load",
    "read",
    "with_oncall",
]


class Config(Section):
    """The whole file. Frozen, but for the rota of a role that runs: see `put_in_force`."""

    data_dir: FilePath = Path("watchkeeper-data")
    store: StoreConfig = StoreConfig()
    ingest: IngestConfig = IngestConfig()
    sources: dict[Id, dict[str, Any] | None] = {}  # noqa: RUF012 - pydantic copies it
    state: StateConfig = StateConfig()
    watch: WatchConfig = WatchConfig()
    roles: RolesConfig = RolesConfig()
    learning: LearningConfig = LearningConfig()
    web: WebConfig = WebConfig()
    slack: SlackConfig = SlackConfig()
    channels: Annotated[dict[Id, ChannelSettings], Field(min_length=1)] = {"slack": {}}  # noqa: RUF012 - pydantic copies it
    oncall: OnCallConfig = OnCallConfig()
    targets: dict[TargetName, TargetConfig] = {}  # noqa: RUF012 - pydantic copies it
    runbooks: RunbookConfig = RunbookConfig()
    boards: BoardConfig = BoardConfig()
    chaos: ChaosConfig = ChaosConfig()
    status_page: StatusPageConfig = StatusPageConfig()
    slo: tuple[FilePath, ...] = ()
    tokens: tuple[TokenConfig, ...] = ()
    heartbeats: tuple[HeartbeatConfig, ...] = ()
    canary: CanaryConfig = CanaryConfig()

    def put_in_force(self, oncall: OnCallConfig) -> None:
        """Use another rota from now on, for everything that holds this configuration.

        The one thing that changes while a role runs: its versions are in the state database, and the file is only
        where they come from. Everything else stays as it was read.
        """
        self.__dict__["oncall"] = oncall

    @model_validator(mode="before")
    @classmethod
    def _teams_once(cls, data: Any) -> Any:
        """Escalation policies know the teams that `learning.teams` names."""
        oncall, learning = (
            (data.get(name) for name in ("oncall", "learning")) if isinstance(data, dict) else (None, None)
        )
        if isinstance(oncall, dict) and "policies" in oncall and isinstance(learning, dict) and "teams" in learning:
            return {**data, "oncall": {"teams": learning["teams"], **oncall}}
        return data

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
    def mail_channel(self) -> str | None:
        """The channel that informs subscribers and stakeholders: the named one, else the first of kind email."""
        kinds = ((name, given.get("kind", name)) for name, given in self.channels.items())
        return self.status_page.subscriptions.channel or next((name for name, kind in kinds if kind == "email"), None)

    @property
    def boards_dir(self) -> Path:
        return self.boards.dir or self.data_dir / "boards"

    @property
    def web_url(self) -> str:
        return self.web.public_url or f"http://{bracketed(self.web.host)}:{self.web.port}"

    def secret(self, name: str) -> str:
        """A secret that Watchkeeper made for itself: read from, or first written to, data_dir/secrets; never empty.

        Names in use: `store` (the embedded engine's password), `commands` (the local token with every
        scope), `session` (signs cookies), `calendar` (in the address of the on-call feed), `links` (signs those
        that acknowledge, confirm and unsubscribe), `slack-signing` and `slack-token` (between the roles and the Slack
        stand-in).
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

    def slack_app_token(self) -> str:
        """The app-level token, which opens a connection for Socket Mode. Raises ConfigError where it is not set."""
        if self.slack_is_real:
            return environment(self.slack.app_token_env, "slack.app_token_env")
        return "xapp-" + self.secret("slack-token")

    def slack_api_url(self) -> str:
        if self.slack_is_real:
            return "https://slack.com/api/"
        return f"http://{bracketed(self.slack.stand_in.host)}:{self.slack.stand_in.port}/api/"

    def target_token(self, target: str) -> str:
        """The token of one of `targets`; empty where it names none."""
        name = self.targets[target].token_env
        return environment(name, f"targets.{target}.token_env") if name else ""

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


def with_oncall(config: Config, oncall: OnCallConfig) -> Config:
    """The configuration with another rota that fits it: its addresses are on channels in use.

    Raises:
        KeysError: names each key and what is wrong with it.
    """
    changed = config.model_copy(update={"oncall": oncall})
    wrong = list(file_mistakes(changed))
    if wrong:
        raise KeysError("; ".join(f"{'.'.join(map(str, key))}: {what}" for key, what in wrong), wrong)
    return changed


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
