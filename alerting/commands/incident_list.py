"""`watchkeeper incident list`, which somebody types while being paged: it imports nothing that it can do without."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from alerting.commands.state_location import data_folder, sqlite_file
from alerting.incidents.quick_read import Tree, newest_incidents
from watchkeeper.errors import ConfigError
from watchkeeper.text import one_line
from watchkeeper.text_columns import print_columns

STATES = ("open", "waiting", "paged", "acknowledged", "snoozed", "silenced", "expired", "merged", "resolved")
SEVERITIES = ("page", "ticket", "SEV1", "SEV2", "SEV3", "SEV4")
HEADS = ("Incident", "Severity", "Urgency", "System", "Human", "Since (UTC)", "Service", "What")
MOST = 1000
MOST_OF_WEB = 500  # that the API gives at once
WEB_WITHIN_S = 3.0


class _Parser(argparse.ArgumentParser):
    """The plain use of the command. Help and mistakes are the full command line's business."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def run(arguments: Sequence[str]) -> bool:
    """List incidents, if `arguments` are plain; False, and nothing was done, if they need explaining."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", "-c", type=Path, default=os.environ.get("WATCHKEEPER_CONFIG") or None)
    parser.add_argument("--state")
    parser.add_argument("--severity")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    try:
        given = parser.parse_args(arguments)
    except ValueError:
        return False
    if not 1 <= given.limit <= MOST:
        return False
    config = Path(given.config) if given.config else None
    show(config, given.state, given.limit, severity=given.severity, as_json=given.json)
    return True


def show(config: Path | None, state: str | None, limit: int, *, severity: str | None = None, as_json: bool) -> None:
    """Print incidents, newest first."""
    for name, value, known in (("state", state, STATES), ("severity", severity, SEVERITIES)):
        if value not in (None, *known):
            raise ConfigError(f"--{name} {value}: must be one of {', '.join(known)}")
    file = sqlite_file(config)
    incidents = newest_incidents(file, state, limit, severity) if file else None
    if file and not file.exists():
        print(f"note: there is no state database at {file} yet; is this the right `--config`?", file=sys.stderr)
        incidents = []
    if incidents is None:
        incidents = _ask_web(config, state, limit, severity)
    if incidents is None:
        incidents = _read_in_full(config, state, limit, severity)
    if as_json:
        print(json.dumps([facts(incident) for incident in incidents], indent=2))
    elif not incidents:
        kind = "incident" if severity is None else f"{severity} incident"
        print(f"No {kind}." if state is None else f"No {kind} is {state}.")
    else:
        print_columns(HEADS, [_row(incident) for incident in incidents])


def _ask_web(config: Path | None, state: str | None, limit: int, severity: str | None) -> list[Tree] | None:
    """What the web role on this machine answers: it has the database open. None where it does not answer plainly."""
    folder = data_folder(config)
    if folder is None or limit > MOST_OF_WEB:
        return None
    import http.client

    query = f"?limit={limit}" + (f"&state={state}" if state else "") + (f"&severity={severity}" if severity else "")
    try:
        port = int(json.loads((folder / "run" / "web.json").read_text())["ports"]["http"])
        secret = folder / "secrets" / "commands"
        # Reading on loopback needs no token, and there may be none yet.
        headers = {"Authorization": f"Bearer {secret.read_text().strip()}"} if secret.exists() else {}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WEB_WITHIN_S)
        try:
            connection.request("GET", f"/api/v1/incidents{query}", headers=headers)
            answer = connection.getresponse()
            listed = json.loads(answer.read())
        finally:
            connection.close()
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None  # it is not there, or listens elsewhere: the database itself will show it
    return listed if answer.status == 200 and isinstance(listed, list) else None


def _read_in_full(config: Path | None, state: str | None, limit: int, severity: str | None) -> list[Tree]:
    """PostgreSQL, a database that is new or of another version, or a mistake that must be shown."""
    from alerting.incidents.commands import Incidents
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.codec import dump
    from watchkeeper.state.database import Database

    tree = load(config)
    incidents = Incidents(Database.open(tree), SystemClock(), tree.oncall)
    return [json.loads(dump(incident)) for incident in incidents.list(state, limit, severity)]


def _row(incident: Tree) -> tuple[str, ...]:
    since = str(incident["onset"])[:19].replace("T", " ")
    service, title = one_line(incident["service"], 40), one_line(incident["title"], 200)
    human_state = one_line(human(incident), 60)
    level = str(incident.get("level") or "")
    return (incident["id"], level, incident["severity"], incident["system_state"], human_state, since, service, title)


def human(incident: Tree) -> str:
    """How far a human is with it, in words."""
    for what in ("resolved", "acknowledged"):
        if incident["human_state"] == what and incident[f"{what}_by"] and incident[f"{what}_at"]:
            return f"{what} by {incident[f'{what}_by']['name']} at {str(incident[f'{what}_at'])[11:16]}"
    for what in ("snoozed", "silenced"):
        if incident["human_state"] == what and incident.get(f"{what}_until"):
            return f"{what} until {str(incident[f'{what}_until'])[:16].replace('T', ' ')}"
    if incident["human_state"] == "merged":
        return f"merged into {incident['merged_into']}"
    if incident["human_state"] == "paged":
        return f"paged {incident['paged_person']}"
    return str(incident["human_state"])


def facts(incident: Tree) -> dict[str, Any]:
    """What a script needs of an incident; `show --json` has all of it."""
    diagnosis = incident.get("diagnosis") or {}
    by = {key: (incident[key] or {}).get("name") for key in ("acknowledged_by", "resolved_by")}
    return {
        "id": incident["id"],
        "title": incident["title"],
        "severity": incident["severity"],
        "level": incident.get("level"),
        "service": incident["service"],
        "system_state": incident["system_state"],
        "human_state": incident["human_state"],
        "proposal_state": incident["proposal_state"],
        "assigned_to": incident.get("assigned_to") or None,
        "snoozed_until": _iso(incident.get("snoozed_until")),
        "silenced_until": _iso(incident.get("silenced_until")),
        "merged_into": incident.get("merged_into") or None,
        "onset": _iso(incident["onset"]),
        "opened_at": _iso(incident["opened_at"]),
        "paged_at": _iso(incident["paged_at"]),
        **by,
        "services": sorted({finding["service"] for finding in incident["findings"]}),
        "suspects": [suspect["service"] for suspect in diagnosis.get("suspects", ())],
        "version": incident["version"],
    }


def _iso(at: str | None) -> str | None:
    """As Python writes it: with an offset, not with a Z."""
    return at.removesuffix("Z") + "+00:00" if at and at.endswith("Z") else at
