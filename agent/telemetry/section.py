"""The key `telemetry` of the agent's file."""

from __future__ import annotations

import os
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from watchkeeper.config_sections import Section
from watchkeeper.config_values import FilePath, Host, HttpUrl, Port, Share, Variable

# A day of 150 spans, 50 log lines and 100 metric points a second takes about half of it, compressed.
DEFAULT_MIB: Final = 1024
_LARGEST_TOKEN: Final = 4096


class PlatformTls(Section):
    """Whom the agent trusts as the platform, and how it proves who it is itself."""

    ca: FilePath | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> PlatformTls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("needs `certificate` and `key`, or neither")
        return self


class ReceiveSection(Section):
    """Where services of this host send OTLP over HTTP."""

    host: Host = "127.0.0.1"
    port: Port = 4318


class LogSection(Section):
    """What waits for the platform on the disk, at most."""

    mib: Annotated[int, Field(ge=1, le=1 << 20)] = DEFAULT_MIB
    hours: Annotated[float, Field(gt=0, le=168, allow_inf_nan=False)] = 48.0
    keep_free_mib: Annotated[int, Field(ge=0, le=1 << 20)] = 512


class AlertSection(Section):
    """When the agent itself raises an alert."""

    gone_seconds: Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)] = 30.0
    memory_available: Share = 0.05
    disk_used: Share = 0.97
    disk_full_within_minutes: Annotated[float, Field(ge=1, le=240, allow_inf_nan=False)] = 15.0


class TelemetrySection(Section):
    """Metrics of the host, OTLP of its services, and alerts, all sent to one platform."""

    to: HttpUrl
    token_env: Variable | None = None
    token_file: FilePath | None = None
    tls: PlatformTls = PlatformTls()
    interval_seconds: Annotated[float, Field(ge=1, le=300, allow_inf_nan=False)] = 15.0
    receive: ReceiveSection = ReceiveSection()
    log: LogSection = LogSection()
    alerts: AlertSection = AlertSection()

    @model_validator(mode="after")
    def _can_work(self) -> TelemetrySection:
        if self.token_env and self.token_file:
            raise ValueError("needs one of `token_env` and `token_file`, or neither")
        parts = urlsplit(self.to)
        its_port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.hostname in {"127.0.0.1", "localhost", "::1", self.receive.host} and its_port == self.receive.port:
            raise ValueError(
                f"`to` is the agent's own port {its_port}; set `receive.port` to another than the platform's"
            )
        if parts.scheme == "http" and any((self.tls.ca, self.tls.certificate)):
            raise ValueError("`to` begins with http://, and `tls` needs https://")
        return self


def read_token(section: TelemetrySection) -> str:
    """The token for the platform; empty where the file names none. Raises ValueError."""
    if section.token_env:
        where, text = f"the environment variable {section.token_env}", os.environ.get(section.token_env, "")
    elif section.token_file:
        where = f"the file {section.token_file}"
        try:
            with open(str(section.token_file), "rb") as file:  # noqa: PTH123 - not more than a token has
                text = file.read(_LARGEST_TOKEN).decode("ascii", "replace")
        except OSError as error:
            raise ValueError(f"{where} cannot be read: {error.strerror}") from error
    else:
        return ""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{where} {'holds no token' if token else 'is not set or empty'}")
    return token
