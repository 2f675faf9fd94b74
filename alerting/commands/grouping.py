"""`watchkeeper grouping`: which troubles are grouped because people merged them, and how to stop that."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from alerting.incidents.merge_lessons import (
    ENOUGH,
    LearnedGrouping,
    Lesson,
    forget_grouping,
    learned_groupings,
)
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, Who, actor_of
from watchkeeper.config import load
from watchkeeper.state.database import Database
from watchkeeper.text_columns import print_columns

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command("list", epilog="Example: watchkeeper grouping list --json")
def list_groupings(
    config: ConfigPath = None,
    forgotten: Annotated[bool, typer.Option("--all", help="Also pairs of which every merge was taken back.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what merges have taught: pairs of troubles, and the merges that count for each."""
    with Database.open(load(config)).read() as connection:
        known = [one for one in learned_groupings(connection) if one.lessons or forgotten]
    if as_json:
        print(json.dumps([_facts(one) for one in known], indent=2))
    elif not known:
        print("Nothing was learned from merges yet.")
    else:
        rows = [(one.pair.id, _state(one), one.pair.described, _merges(one)) for one in known]
        print_columns(("Pair", "State", "Troubles", "Merges"), rows)


@app.command(epilog="Example: watchkeeper grouping forget 0f3a9c2b7d1e4a55")
def forget(
    pair: Annotated[str, typer.Argument(help="The pair, as `watchkeeper grouping list` shows it.")],
    config: ConfigPath = None,
    who: Who = None,
) -> None:
    """Group a pair no more. Merges so far count no longer; later ones teach it anew."""
    with Database.open(load(config)).write() as connection:
        known = forget_grouping(connection, pair, actor_of(who), SystemClock().now())
    print(f"{pair}: {'forgotten' if known.lessons else 'had been forgotten before'}: {known.pair.described}")


def _state(grouping: LearnedGrouping) -> str:
    if grouping.groups:
        return "grouped"
    if not grouping.lessons:
        return "forgotten"
    missing = ENOUGH - len({lesson.into for lesson in grouping.lessons})
    return f"{missing} more merge needed"


def _merges(grouping: LearnedGrouping) -> str:
    return "; ".join(lesson.sentence for lesson in grouping.lessons[:3]) or "none counts"


def _facts(grouping: LearnedGrouping) -> dict[str, Any]:
    one, other = grouping.pair.one, grouping.pair.other
    return {
        "pair": grouping.pair.id,
        "grouped": grouping.groups,
        "troubles": [{"service": each.service, "what": each.what} for each in (one, other)],
        "merges": [_merge(lesson) for lesson in grouping.lessons],
        "forgotten": [_merge(lesson) for lesson in grouping.forgotten],
    }


def _merge(lesson: Lesson) -> dict[str, Any]:
    facts = {"incident": lesson.incident_id, "into": lesson.into, "at": lesson.at.isoformat(), "by": lesson.actor}
    if lesson.forgotten_at:
        facts |= {"forgotten_at": lesson.forgotten_at.isoformat(), "forgotten_by": lesson.forgotten_by}
    return facts
