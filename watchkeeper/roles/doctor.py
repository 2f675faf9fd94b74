"""What `watchkeeper doctor` looks at: each check is one function that returns one result."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx

from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.problems import Problem, read_problems
from watchkeeper.roles import heartbeat as heart
from watchkeeper.roles import ready
from watchkeeper.roles.ports import listen, reason
from watchkeeper.roles.up import roles_for
from watchkeeper.text import one_line

Status = Literal["ok", "warning", "problem"]
FREE_WARNING_BYTES = 5 << 30
FREE_PROBLEM_BYTES = 500 << 20
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check: what was looked at, what was seen, and what to do about it (empty when all is well)."""

    check: str
    status: Status
    seen: str
    advice: str = ""


def ports(config: Config) -> list[Result]:
    """Each configured port is either free, or held by the role that it is for."""
    wanted = [
        ("ingest", "ingest.otlp_http_port", config.ingest.host, config.ingest.otlp_http_port),
        ("ingest", "ingest.otlp_grpc_port", config.ingest.host, config.ingest.otlp_grpc_port),
        ("web", "web.port", config.web.host, config.web.port),
    ]
    if config.store.url is None:
        wanted.append(("store", "store.port", config.store.host, config.store.port))
    if "standin" in roles_for(config):
        wanted.append(("standin", "slack.stand_in.port", config.slack.stand_in.host, config.slack.stand_in.port))
    return [_port(config, *each) for each in wanted]


def _port(config: Config, role: str, key: str, host: str, port: int) -> Result:
    running = ready.read(config, role)
    if running and port in running.ports.values():
        return Result(check=key, status="ok", seen=f"{port} is served by {role} (pid {running.pid})")
    try:
        listen(host, port).close()
    except OSError as error:
        why, advice = reason(host, port, key, error)
        return Result(check=key, status="problem", seen=f"{host}:{port} cannot be used ({why})", advice=advice)
    return Result(check=key, status="ok", seen=f"{host}:{port} is free" if port else "a free port will be chosen")


def disk(config: Config) -> list[Result]:
    """There is space for telemetry, and the data directory can be written."""
    folder = config.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    seen = f"{free / 2**30:.1f} GiB free at {folder}"
    if not os.access(folder, os.W_OK):
        advice = "Give this user the right to write there, or set data_dir."
        return [Result(check="disk", status="problem", seen=f"{folder} cannot be written", advice=advice)]
    if free < FREE_PROBLEM_BYTES:
        advice = "Free some space, or lower store.retention_days: ingest stops acking when the disk is full."
        return [Result(check="disk", status="problem", seen=seen, advice=advice)]
    if free < FREE_WARNING_BYTES:
        return [Result(check="disk", status="warning", seen=seen, advice="Plan for more, or lower retention_days.")]
    return [Result(check="disk", status="ok", seen=seen)]


def clock(_: Config) -> list[Result]:
    """The kernel says whether something keeps this machine's clock right."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    if state == TIME_ERROR:
        advice = "Run chrony or systemd-timesyncd: onsets and escalations are only as right as the clock."
        return [Result(check="clock", status="warning", seen="no time service keeps the clock right", advice=advice)]
    return [Result(check="clock", status="ok", seen="synchronised")]


def store(config: Config) -> list[Result]:
    """The telemetry store answers a query with the configured password."""
    if config.store.url is None and ready.read(config, "store") is None:
        advice = "Start it with `watchkeeper up` (or `watchkeeper store`)."
        return [Result(check="store", status="warning", seen="the embedded store is not running", advice=advice)]
    from watchkeeper.store.telemetry import Telemetry

    try:
        spans = Telemetry.connect(config).span_count()
    except WatchkeeperError as error:
        advice = "Check store.url, store.user and store.password_env, and that the store role runs."
        return [Result(check="store", status="problem", seen=error.message, advice=advice)]
    return [Result(check="store", status="ok", seen=f"answers; {spans:,} spans")]


def state(config: Config) -> list[Result]:
    """The state database opens and its schema is current."""
    from watchkeeper.roles.state_file import kept_aside
    from watchkeeper.state.backup import file_of
    from watchkeeper.state.database import Database

    file = file_of(config)
    if file and not file.exists():
        return [Result(check="state", status="ok", seen=f"{file} will be made at the first start")]
    try:
        Database.open(config).close()
    except WatchkeeperError as error:
        advice = "Check state.url (or state.url_env) and the database's own log."
        return [Result(check="state", status="problem", seen=error.message, advice=advice)]
    kind = config.state_url.split(":", 1)[0]
    kept = [
        Result(check="state", status="warning", seen=text, advice=f"Move {aside} away when you have seen this.")
        for aside, text in kept_aside(config).items()
    ]
    return [Result(check="state", status="ok", seen=f"{kind} opens; its schema is current"), *kept]


def slack(config: Config) -> list[Result]:
    """Slack, or its stand-in, accepts the token."""
    if "slack" not in config.channels:
        return [Result(check="slack", status="ok", seen="`channels:` does not name it")]
    where = "Slack" if config.slack_is_real else "the stand-in"
    if not config.slack_is_real and ready.read(config, "standin") is None:
        advice = f"Set {config.slack.token_env} for real Slack, or run `watchkeeper up` for the stand-in."
        return [Result(check="slack", status="warning", seen="the stand-in is not running", advice=advice)]
    try:
        headers = {"Authorization": f"Bearer {config.slack_token()}"}
        response = httpx.post(config.slack_api_url() + "auth.test", headers=headers, timeout=5)
        answer = response.json()
        _ = config.slack_app_token() if config.slack.socket_mode else config.slack_signing_secret()
    except (httpx.HTTPError, ValueError) as error:
        advice = "Check the network and proxy settings between here and Slack."
        if not config.slack_is_real:
            advice = "Look at its log; `watchkeeper up` starts it again if it hangs."
        return [Result(check="slack", status="problem", seen=f"{where} cannot be reached: {error}", advice=advice)]
    except WatchkeeperError as error:
        return [Result(check="slack", status="problem", seen=error.message, advice="Set it and start again.")]
    if not answer.get("ok"):
        advice = f"Check the token in {config.slack.token_env} and that the app is installed in the workspace."
        seen = f"{where} refused the token: {answer.get('error')}"
        return [Result(check="slack", status="problem", seen=seen, advice=advice)]
    known = Result(check="slack", status="ok", seen=f"{where} knows us as {answer.get('user', 'a bot')}")
    return [known, *_slack_scopes(response.headers)]


def _slack_scopes(headers: Mapping[str, str]) -> list[Result]:
    """One for each scope that the token lacks; none where Slack does not name those that it has."""
    from alerting.channels.slack.scopes import HEADER, WITHOUT, lacking

    granted = headers.get(HEADER)
    return [
        Result(
            check="slack",
            status="problem" if scope == "chat:write" else "warning",
            seen=f"the token lacks the scope {scope}: {WITHOUT[scope]}",
            advice=f"Add {scope} to the app's bot scopes (OAuth & Permissions) and reinstall it to the workspace.",
        )
        for scope in (lacking(granted) if granted else ())
    ]


def targets(config: Config) -> list[Result]:
    """Each target of `targets:` answers and accepts the token, and no service is in two of them."""
    from watchkeeper.roles.targets import seen_targets

    results = [
        Result(
            check=f"target {target.name}".strip(),
            status="ok" if not target.advice else "warning" if target.reached else "problem",
            seen=target.seen,
            advice=target.advice,
        )
        for target in seen_targets(config)
    ]
    return results or [Result(check="target", status="ok", seen="none is configured")]


def binding(config: Config) -> list[Result]:
    """Nothing listens beyond loopback without a credential."""
    try:
        config.require_safe_binding("ingest")
        config.require_safe_binding("web")
    except WatchkeeperError as error:
        return [Result(check="binding", status="problem", seen=error.message, advice="See the message.")]
    return [Result(check="binding", status="ok", seen=f"ingest on {config.ingest.host}, web on {config.web.host}")]


def canary(config: Config) -> list[Result]:
    """The newest alert of Watchkeeper's own came through."""
    from alerting.canary.canary import last_run
    from watchkeeper.state.backup import file_of
    from watchkeeper.state.database import Database

    if not config.canary.enabled:
        advice = "Without it, nobody learns that pages do not get through: set canary.enabled to true."
        return [Result(check="canary", status="warning", seen="it is switched off", advice=advice)]
    file = file_of(config)
    run = last_run(Database.open(config)) if file is None or file.exists() else None
    if run is None:
        return [Result(check="canary", status="ok", seen="it has not run yet: it does five minutes after a start")]
    if run.outcome == "failed":
        advice = "Pages may not get through. Look at this link, and at the logs of the roles ingest and watch."
        told = f"; told {run.notified}" if run.notified else "; nobody could be told"
        return [Result(check="canary", status="problem", seen=run.sentence + told, advice=advice)]
    if datetime.now(UTC) - run.began > timedelta(seconds=2 * config.canary.every_s):
        advice = "Does the role watch run?"
        return [Result(check="canary", status="warning", seen=f"{run.sentence}, and not since", advice=advice)]
    return [Result(check="canary", status="ok", seen=run.sentence)]


def roles(config: Config) -> list[Result]:
    """Each role that runs here turns; one that hangs is named."""
    from watchkeeper.roles.readiness import ROLES, hung_roles

    running = [role for role in ROLES if heart.read(config, role)]
    if not running:
        advice = "Start them with `watchkeeper up`."
        return [Result(check="roles", status="warning", seen=f"none runs on {config.data_dir}", advice=advice)]
    results = [
        Result(
            check="roles",
            status="problem",
            seen=words,
            advice=f"`watchkeeper up` starts it again by itself; else stop its process and start it. "
            f"Its log: {config.data_dir / 'log' / f'{role}.log'}",
        )
        for role, words in hung_roles(config).items()
    ]
    lost = [role for role in roles_for(config) if role not in running]
    if lost:
        advice = "`watchkeeper up` runs every role; where they run elsewhere, look there."
        results.append(Result(check="roles", status="warning", seen=f"not here: {', '.join(lost)}", advice=advice))
    return results or [Result(check="roles", status="ok", seen=f"{', '.join(running)} run")]


def set_aside(config: Config) -> list[Result]:
    """What a role set aside so that the rest goes on; it stands here for a day after it came last."""
    results = [
        Result(
            check=f"{role}: {problem.loop}",
            status="warning",
            seen=f"set aside {problem.subject}: {problem.reason} ({_how_often(problem)})",
            advice=f"The rest goes on without it. {config.data_dir / 'log' / f'{role}.log'} has more.",
        )
        for role, problems in read_problems(config.data_dir / "run").items()
        for problem in problems
    ]
    return results or [Result(check="set aside", status="ok", seen="nothing was set aside in the last day")]


def _how_often(problem: Problem) -> str:
    """How many times it came, and when."""
    if problem.count == 1:
        return f"once, {_clock(problem.last_at)}"
    return f"{problem.count} times since {_clock(problem.since)}, last {_clock(problem.last_at)}"


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def parts(_: Config) -> list[Result]:
    """Every registered part can be loaded."""
    from watchkeeper.roles.registered import broken_parts

    results = [
        Result(
            check=f"{part.kind} {part.name}",
            status="warning",
            seen=f"of {part.origin} cannot be loaded: {part.reason}",
            advice="Everything else works without it. Repair or uninstall its package.",
        )
        for part in broken_parts()
    ]
    return results or [Result(check="parts", status="ok", seen="every registered part can be loaded")]


CHECKS: tuple[Callable[[Config], list[Result]], ...] = (
    binding,
    ports,
    disk,
    clock,
    roles,
    store,
    state,
    slack,
    canary,
    targets,
    parts,
    set_aside,
)


def examine(config: Config) -> list[Result]:
    """Run every check, in the order in which a start-up would fail. One that fails itself is a problem, no end."""
    results: list[Result] = []
    for check in CHECKS:
        try:
            results += check(config)
        except Exception as error:  # noqa: BLE001 - the others must still be seen
            seen = f"the check itself failed: {error.message if isinstance(error, WatchkeeperError) else repr(error)}"
            results.append(Result(check=check.__name__, status="problem", seen=one_line(seen), advice="See there."))
    return results
