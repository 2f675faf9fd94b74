"""`watchkeeper test-page`: does a page reach this person?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, hint_at_unused_file, user_name
from watchkeeper.durations import duration
from watchkeeper.errors import DeliveryError, StateError
from watchkeeper.vocabulary import Actor

if TYPE_CHECKING:
    from watchkeeper.config import Config

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper test-page ana --config watchkeeper.yaml")
def drill(
    person: Annotated[str, typer.Argument(help="Who: an id, name or address from oncall.people.")],
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Send one person a page that is marked as a test, by each channel of their notification rules.

    Every channel is tried at once; what is printed says when its rule pages. It opens no incident and teaches the
    detectors nothing. Exit status 1 if a channel does not accept it.
    """
    from alerting.oncall.drill import page, whom
    from watchkeeper.roles.preflight import load_for

    hint_at_unused_file(config)
    tree = load_for(config, "watch")
    _use_the_rota_in_force(tree)
    recipient, now, user = whom(tree.oncall, person), SystemClock().now(), user_name()
    sent = page(tree, recipient, now, user)
    for test in sent:
        outcome = f"accepted in {test.conversation} at {test.ts}" if test.accepted else f"not accepted: {test.refused}"
        _note(tree, Actor(name=user, via="cli"), recipient.id, f"{outcome} ({test.channel})")
    if as_json:
        accepted = all(test.accepted for test in sent)
        print(json.dumps({"person": recipient.id, "accepted": accepted, "pages": list(map(asdict, sent))}, indent=2))
    for test in sent:
        if test.accepted and not as_json:
            when = f" ({_when(test.after_s)})" if recipient.notification_rules else ""
            print(
                f"{recipient.name} ({test.address}) was paged by {test.channel}: accepted in {test.destination}{when}."
            )
    if refused := [test for test in sent if not test.accepted]:
        lines = [f"{test.channel} did not page {recipient.name} ({test.address}): {test.refused}" for test in refused]
        raise DeliveryError("\n".join(lines), retry=False)


def _use_the_rota_in_force(config: Config) -> None:
    """Know whom the roles know; without the state database, whom the file has: a page needs none."""
    from alerting.oncall.in_force import open_in_force

    try:
        open_in_force(config).close()
    except StateError as error:
        print(f"watchkeeper: the file's rota is used: {error.message}", file=sys.stderr)


def _when(after_s: float | None) -> str:
    """When a real page would have gone out by this channel."""
    if after_s is None:
        return "a page goes there only if another channel fails"
    return f"a page goes there {duration(after_s)} later, unless somebody acknowledged" if after_s else "at once"


def _note(config: Config, actor: Actor, person: str, detail: str) -> None:
    """Keep on record who tested what; a page that was sent is not taken back because that fails."""
    from watchkeeper.state.audit import record_audit
    from watchkeeper.state.database import Database

    try:
        db = Database.open(config)
        with db.write() as connection:
            record_audit(connection, SystemClock().now(), actor, "page.test", person, detail)
        db.close()
    except StateError as error:
        print(f"watchkeeper: the test is not on record: {error.message}", file=sys.stderr)
