"""The stand-in role: Slack's HTTP API on loopback, where no Slack token is set."""

from __future__ import annotations

from alerting.channels.slack.standin.app import StandIn
from alerting.channels.slack.standin.limits import RateLimits
from watchkeeper.config import Config, is_loopback
from watchkeeper.config_values import bracketed
from watchkeeper.errors import ConfigError
from watchkeeper.roles import ready
from watchkeeper.roles.lifecycle import alive
from watchkeeper.roles.ports import bind
from watchkeeper.roles.serving import serve


def run(config: Config) -> None:
    """Serve until stopped.

    Raises:
        ConfigError: it would listen beyond loopback: whoever reaches its page can press buttons.
    """
    host = config.slack.stand_in.host
    if not is_loopback(host):
        raise ConfigError(f"slack.stand_in.host is {host}: the stand-in has no sign-in, so it stays on loopback")

    def request_url() -> str:
        web = ready.read(config, "web")
        port = web.ports["http"] if web else config.web.port
        return f"http://{bracketed(config.web.host)}:{port}/slack/events"

    with alive(config, "standin") as life:
        listener = bind(host, config.slack.stand_in.port, "slack.stand_in.port")
        serve(life, StandIn(config, request_url, RateLimits()).application(), listener)
