"""`watchkeeper incident snooze|assign|page|severity|merge|split`: a human decides whom an incident pages, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from alerting.commands.incident import app as app  # with these commands it is complete
from alerting.commands.incident import open_incidents, print_outcome
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, IncidentId, Key, Who, actor_of, key_of
from watchkeeper.durations import seconds_of
from watchkeeper.errors import ConfigError
from watchkeeper.vocabulary import LEVELS, level_named


@app.command(epilog="Example: watchkeeper incident snooze inc-7f3a01 --for 2h")
def snooze(
    incident: IncidentId,
    how_long: Annotated[str, typer.Option("--for", help="How long, such as 30m, 2h or 1d; seven days at most.")],
    config: ConfigPath = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Page nobody for a while; if it still fires then, page whoever is on call. Exit status 4 if nothing changes."""
    until = SystemClock().now() + span_of(how_long)
    print_outcome(open_incidents(config).snooze(incident, actor_of(who), until, key_of(key)), as_json)


@app.command(epilog="Example: watchkeeper incident assign inc-7f3a01 ben")
def assign(
    incident: IncidentId,
    person: Annotated[str, typer.Argument(help="Who has it from now on: an id from oncall.people.")],
    config: ConfigPath = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Hand an incident to somebody, who is paged. Exit status 4 if they have it already.

    If they don't answer, the escalation goes on. A ticket, or what has recovered, gets an owner and pages nobody.
    """
    print_outcome(open_incidents(config).assign(incident, actor_of(who), person, key_of(key)), as_json)


@app.command(epilog='Example: watchkeeper incident page ben "the bank says that cards fail" --service payments')
def page(
    person: Annotated[str, typer.Argument(help="Who is paged: an id from oncall.people.")],
    text: Annotated[str, typer.Argument(help="What whoever is paged should look at.")],
    config: ConfigPath = None,
    service: Annotated[str, typer.Option("--service", help="The service that it is about.")] = "",
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Open an incident and page somebody for it. It fires until somebody resolves it. Exit status 4 for a repeat."""
    outcome = open_incidents(config).call(person, text, actor_of(who), key_of(key), service)
    print_outcome(outcome, as_json)


@app.command(epilog='Example: watchkeeper incident severity inc-7f3a01 SEV1 --because "no card is accepted"')
def severity(
    incident: IncidentId,
    level: Annotated[str, typer.Argument(help=f"One of {', '.join(LEVELS)}.")],
    reason: Annotated[str, typer.Option("--because", help="The reason, for the timeline.")],
    config: ConfigPath = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Raise or lower the severity of an incident. Exit status 4 if it has it already.

    A level that pages makes a page of a ticket; one that pages nobody ends the escalation.
    """
    wanted = level_named(level)
    if wanted is None:
        raise ConfigError(f"{level}: must be one of {', '.join(LEVELS)}")
    print_outcome(open_incidents(config).set_severity(incident, actor_of(who), wanted, reason, key_of(key)), as_json)


@app.command(epilog="Example: watchkeeper incident merge inc-7f3a01 --into inc-2c9e44")
def merge(
    incident: IncidentId,
    into: Annotated[str, typer.Option("--into", help="The id of the incident that goes on with both.")],
    config: ConfigPath = None,
    who: Who = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make an incident part of another. It pages nobody any more. Exit status 4 if that is not possible."""
    print_outcome(open_incidents(config).merge(incident, into, actor_of(who), key_of(key)), as_json)


@app.command(epilog="Example: watchkeeper incident split inc-7f3a01")
def split(
    incident: IncidentId, config: ConfigPath = None, who: Who = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Undo a merge: it is an incident of its own again, acknowledged by you. Exit status 4 if it is not merged."""
    print_outcome(open_incidents(config).split(incident, actor_of(who), key_of(key)), as_json)


def span_of(text: str) -> timedelta:
    """A span as somebody types it.

    Raises:
        ConfigError: it is none.
    """
    try:
        return timedelta(seconds=seconds_of(text))
    except ValueError as error:
        raise ConfigError(f"--for {error}") from error
