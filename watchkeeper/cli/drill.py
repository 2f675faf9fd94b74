"""`watchkeeper test-page`: does a page reach this person?"""

from __future__ import annotations

import getpass
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, hint_at_unused_file
from watchkeeper.errors import DeliveryError, StateError
from watchkeeper.vocabulary import Actor

if TYPE_CHECKING:
    from watchkeeper.config import Config

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog="Example: watchkeeper test-page ana --config watchkeeper.yaml")
def drill(
    person: Annotated[str, typer.Argument(help="Who: an id, name or Slack id from oncall.people.")],
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Send one person a page that is marked as a test, through the channel that real pages take.

    It opens no incident and teaches the detectors nothing. Exit status 1 if the channel does not accept it.
    """
    from alerting.oncall.drill import page, whom
    from watchkeeper.roles.preflight import load_for

    hint_at_unused_file(config)
    tree = load_for(config, "watch")
    chosen, now, user = whom(tree.oncall, person), SystemClock().now(), getpass.getuser()
    try:
        sent = page(tree, chosen, now, user)
    except DeliveryError as error:
        _note(tree, Actor(name=user, via="cli"), chosen.id, f"not accepted: {error.message}")
        raise
    _note(tree, Actor(name=user, via="cli"), chosen.id, f"accepted in {sent.channel} at {sent.ts}")
    where = "Slack" if tree.slack_is_real else "the local stand-in for Slack"
    if as_json:
        facts = {"person": chosen.id, "slack_id": chosen.slack_id, "channel": tree.slack.channel}
        print(json.dumps(facts | {"by": where, "channel_id": sent.channel, "ts": sent.ts, "accepted": True}, indent=2))
        return
    print(f"{chosen.name} ({chosen.slack_id}) was paged in #{tree.slack.channel.lstrip('#')}: {where} accepted it.")
    if not tree.slack_is_real:
        print(f"See it at {tree.slack_api_url().removesuffix('api/')}")


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
