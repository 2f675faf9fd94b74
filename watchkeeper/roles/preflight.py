"""Everything that a role will need is looked at before it starts, and by `watchkeeper validate`.

The configuration file itself is checked as it is read. Here is what lies outside of it: objectives, runbooks,
variables of the environment, folders, hosts; and the rota is worked out, as it will be when somebody must be paged.
Each mistake is one line: file, line, key, and what to do.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from watchkeeper.config import Config, ReadConfig, read
from watchkeeper.config_values import check_state_url
from watchkeeper.errors import ConfigError

Lines = Iterator[str]
Check = Callable[[ReadConfig], Lines]
SUPERVISED: Final = "WATCHKEEPER_SUPERVISED"


def supervised() -> bool:
    """Whether `watchkeeper up`, which looked at every file before it started anything, started this role."""
    return bool(os.environ.get(SUPERVISED))


def load_for(path: Path | None, *roles: str, optional: bool = True) -> Config:
    """The configuration for roles that are about to start; without any, for all of them.

    Without `optional`, objectives and runbooks are not looked at: the role sets aside what is wrong.

    Raises:
        ConfigError: the file is wrong, or something that one of the roles needs is; one line a mistake.
    """
    file = read(path)
    if lines := mistakes(file, roles or None, optional=optional):
        raise ConfigError("\n".join(lines))
    return file.config


def mistakes(
    file: ReadConfig, roles: Sequence[str] | None = None, *, environment: bool = True, optional: bool = True
) -> list[str]:
    """What would fail later; of all roles, or of some. Without `environment`, variables are not looked at."""
    lines: list[str] = []
    for needed_by, is_environment, check in CHECKS:
        wanted = (environment or not is_environment) and (optional or check not in OPTIONAL)
        if wanted and (roles is None or set(roles) & needed_by):
            lines += check(file)
    return lines


def notes(file: ReadConfig, *, environment: bool = True) -> list[str]:
    """What works, and is perhaps not what was meant. Without `environment`, targets are not asked."""
    config, lines = file.config, []
    if "slack" in config.channels and not config.slack_is_real:
        name = config.slack.token_env
        if "token_env" in config.slack.model_fields_set:
            lines.append(
                f"{file.where('slack', 'token_env')}: {name} is not set: pages go to the local stand-in for Slack only"
            )
        if not config.slack.stand_in.enabled:
            lines.append(
                f"{file.where('slack', 'stand_in', 'enabled')}: no token in {name} and no stand-in: "
                "pages reach somebody only where a stand-in runs on its own"
            )
    from alerting.channels.preflight import broken_channels
    from alerting.oncall.preflight import rota_notes
    from watchkeeper.roles.registered import broken_parts
    from watchkeeper.roles.targets import seen_targets

    lines += [*broken_channels(file), *rota_notes(file)]
    lines += [
        f"{file.where('targets', *target.name.split())}: {target.seen}. {target.advice}"
        for target in (seen_targets(config) if environment else ())
        if target.advice
    ]
    return lines + [
        f"the {part.kind} {part.name} of {part.origin} cannot be loaded, and is not used: {part.reason}"
        for part in broken_parts()
    ]


def _data_dir(file: ReadConfig) -> Lines:
    """The folder is there and can be written, or can be made."""
    if problem := _unusable(file.config.data_dir):
        yield f"{file.where('data_dir')}: {problem}"


def _unusable(folder: Path) -> str | None:
    """Why nothing can be kept in a folder that is there or will be made."""
    there = folder
    try:
        while not there.exists():
            there = there.parent
        if not there.is_dir():
            return f"{there} is not a folder; choose another path"
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror}); choose another path"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written by this user; change its owner, or choose another path"
    return None


def _state(file: ReadConfig) -> Lines:
    """The state database's address can be one, also where a variable holds it."""
    state = file.config.state
    where = file.where("state", "url_env" if state.url_env else "url")
    url = (os.environ.get(state.url_env) if state.url_env else state.url) or ""
    if not url:
        return  # a variable that is not set is named once, with the others
    try:
        check_state_url(url)
    except ValueError as error:
        yield f"{where}: {error}"
        return
    if url.startswith("sqlite:///"):
        database = Path(url.removeprefix("sqlite:///").split("?")[0])
        if database.is_dir():
            yield f"{where}: {database} is a folder; name a file in it"
        elif problem := _unusable(database.parent):
            yield f"{where}: {problem}"


def _variables(*keys: tuple[str, ...]) -> Check:
    """Each variable that one of these keys names holds something that can be sent."""

    def check(file: ReadConfig) -> Lines:
        for key in keys:
            if key[0] == "slack" and not file.config.slack_is_real:
                continue
            holder: Any = file.config
            for part in key:
                holder = getattr(holder, part)
            yield from _variable(file, holder, *key)

    return check


def _slack_credential(file: ReadConfig) -> Lines:
    """What shows who sends presses: the app-level token over Socket Mode, else the signing secret."""
    key = "app_token_env" if file.config.slack.socket_mode else "signing_secret_env"
    return _variables(("slack", key))(file)


def _variable(file: ReadConfig, name: str | None, *key: str) -> Lines:
    if name is None:
        return
    value = os.environ.get(name)
    if not value:
        yield f"{file.where(*key)}: names the environment variable {name}, which is not set; set it and start again"
    elif value != value.strip() or not value.isprintable():
        yield f"{file.where(*key)}: {name} holds a blank at an end, or a control character; set it without"
    elif not value.isascii() and key[-1] == "token_env":
        yield f"{file.where(*key)}: {name} holds a character that no token has; copy the token again"


def _target_tokens(file: ReadConfig) -> Lines:
    for name, section in file.config.targets.items():
        yield from _variable(file, section.token_env, "targets", name, "token_env")


def _binding(role: Literal["ingest", "web"]) -> Check:
    """A role listens where this machine can, and beyond loopback only with a credential."""

    def check(file: ReadConfig) -> Lines:
        where, config = file.where(role, "host"), file.config
        try:
            config.require_safe_binding(role)
        except ConfigError as error:
            yield f"{where}: {error.message}"
        yield from _resolves(where, config.ingest.host if role == "ingest" else config.web.host)

    return check


def _store_host(file: ReadConfig) -> Lines:
    if file.config.store.url is None:
        yield from _resolves(file.where("store", "host"), file.config.store.host)


def _resolves(where: str, host: str) -> Lines:
    try:
        socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        yield f"{where}: {host} is no address and no name that this machine can resolve ({error})"


def _of(module: str, name: str) -> Check:
    """A package's own check, imported when it is made."""

    def check(file: ReadConfig) -> Lines:
        yield from getattr(import_module(module), name)(file)

    return check


OBJECTIVES: Final = _of("detectors.slo.preflight", "objective_mistakes")
RUNBOOKS: Final = _of("runbooks.preflight", "runbook_mistakes")
AWAITED: Final = _of("watchkeeper.roles.objectives", "runbook_objective_mistakes")
# What a role can do without.
OPTIONAL: Final = (OBJECTIVES, RUNBOOKS, AWAITED)
STORE, INGEST, WATCH, WEB, STAND_IN = "store", "ingest", "watch", "web", "standin"
# The roles that need it, whether it is about the environment, and the check. A role is kept from starting by its
# own needs only: where the dashboard can't listen, people are paged all the same.
CHECKS: Final[tuple[tuple[frozenset[str], bool, Check], ...]] = (
    (frozenset({STORE, INGEST, WATCH, WEB, STAND_IN}), False, _data_dir),
    (frozenset({STORE, INGEST, WATCH, WEB}), True, _variables(("store", "password_env"))),
    (frozenset({STORE}), False, _store_host),
    (frozenset({INGEST}), False, _binding("ingest")),
    (frozenset({WEB}), False, _binding("web")),
    (frozenset({INGEST, WATCH, WEB}), True, _variables(("state", "url_env"))),
    (frozenset({INGEST, WATCH, WEB}), True, _state),
    (frozenset({WATCH, WEB}), True, _variables(("slack", "token_env"))),
    (frozenset({WATCH, WEB}), True, _slack_credential),
    (frozenset({WATCH}), True, _target_tokens),
    (frozenset({WATCH, WEB}), False, _of("alerting.channels.preflight", "channel_mistakes")),
    (frozenset({WATCH, WEB}), False, _of("alerting.oncall.preflight", "rota_mistakes")),
    (frozenset({WATCH}), False, OBJECTIVES),
    (frozenset({WATCH}), False, RUNBOOKS),
    (frozenset({WATCH}), False, AWAITED),
)
