"""`watchkeeper oncall`: who is on call, the final schedule with its gaps, overrides, and a calendar file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from alerting.commands import oncall_feed, oncall_import, oncall_swap, oncall_versions
from alerting.commands.oncall_opened import opened
from alerting.commands.oncall_times import span_of, time_of
from alerting.oncall import ical as calendar
from alerting.oncall import schedule as schedules
from alerting.oncall.chain import Chain, chain_for, default_chain, policy_chain, whom
from alerting.oncall.coverage import warnings
from alerting.oncall.load import MEASURES, fairness, loads, pages_between
from alerting.oncall.versions import parts_of, rota_at, shifts_over, versions
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, actor_of, hint_at_unused_file
from watchkeeper.config import Config, OnCallConfig, load
from watchkeeper.errors import ConfigError
from watchkeeper.state.database import Database
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Window

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
for command in (oncall_versions.history, oncall_versions.diff, oncall_versions.apply, oncall_versions.export):
    app.command(epilog=f"Example: watchkeeper oncall {command.__name__}")(command)
app.command("import", epilog="Example: watchkeeper oncall import primary.ics --schedule primary --map 'Ana Souza=ana'")(
    oncall_import.import_
)
app.add_typer(oncall_feed.app, name="feed", help="Addresses to which calendars subscribe.")
app.add_typer(oncall_swap.app, name="swap", help="Ask somebody to take a shift, and answer.")

At = Annotated[str | None, typer.Option("--at", help="An ISO time; without a zone it is UTC. Default: now.")]
Schedule = Annotated[str | None, typer.Option("--schedule", help="The schedule's id. Default: the first one.")]
Days = Annotated[int, typer.Option("--days", min=1, max=366, help="How far ahead.")]


@app.command(epilog="Example: watchkeeper oncall who --service payments --at 2026-03-29T02:30 --json")
def who(
    config: ConfigPath = None,
    at: At = None,
    service: Annotated[str | None, typer.Option("--service", help="Whom an incident of this service pages.")] = None,
    as_json: AsJson = False,
) -> None:
    """Whom each step of each escalation would page, and why them."""
    hint_at_unused_file(config)
    tree, db = opened(config)
    moment = time_of(at)
    oncall = rota_at(versions(db), tree.oncall, moment, SystemClock().now())
    overrides = schedules.stored_overrides(db)
    if service is None:
        chains = [default_chain(oncall), *map(policy_chain, oncall.policies)]
    else:
        chains = [chain_for(oncall, service)]
    listed = [{"policy": chain.policy, "steps": _steps(oncall, chain, moment, overrides)} for chain in chains]
    if as_json:
        answer = {"at": moment.isoformat(), "steps": listed[0]["steps"], "escalations": listed}
        print(json.dumps(answer, indent=2))
        return
    for number, chain in enumerate(chains):
        if chain.policy:
            print(f"{'' if number == 0 else chr(10)}policy {chain.policy}")
        for step in chain.steps:
            when = "at once" if not step.after_s else f"after {step.after_s:g} s without an answer"
            for each in whom(oncall, step, moment, overrides):
                print(f"{seen_name(each.name)}  {when}  ({each.why})")


def _steps(
    oncall: OnCallConfig, chain: Chain, at: datetime, overrides: Sequence[schedules.Override]
) -> list[dict[str, Any]]:
    """The steps of a chain as JSON; the first of several people is the `person`."""
    steps: list[dict[str, Any]] = []
    for number, step in enumerate(chain.steps):
        called = whom(oncall, step, at, overrides)
        steps.append({"step": number + 1, "after_s": step.after_s, "notify": ", ".join(step.notify)})
        steps[-1] |= {"person": called[0].id, "name": called[0].name, "why": called[0].why}
        steps[-1]["people"] = [{"person": each.id, "name": each.name, "why": each.why} for each in called]
    return steps


@app.command(epilog="Example: watchkeeper oncall schedule --days 14")
def schedule(
    config: ConfigPath = None,
    schedule: Schedule = None,
    start: Annotated[str | None, typer.Option("--from", help="An ISO time, also in the past. Default: today.")] = None,
    days: Days = 7,
    as_json: AsJson = False,
) -> None:
    """The schedule as it comes out: rotations, overrides, gaps. What is past is as it was then."""
    hint_at_unused_file(config)
    tree, db = opened(config)
    name, now = _named(tree, schedule), SystemClock().now()
    begin = time_of(start) if start else _ahead(days).start
    window = Window(start=begin, end=begin + timedelta(days=days))
    overrides = schedules.stored_overrides(db)
    shifts = shifts_over(parts_of(versions(db), tree.oncall, window, now), name, overrides)
    made = {o.id: o for o in overrides if o.schedule == name and o.end > window.start}
    ahead = Window(start=max(now, window.start), end=window.end) if window.end > now else None
    cautions = list(warnings(tree.oncall, name, ahead, overrides)) if ahead else []
    learners = [each.id for each in schedules.shadows_at(tree.oncall, name, now)] if ahead else []
    if as_json:
        rows = [
            {
                "start": shift.start.isoformat(),
                "end": shift.end.isoformat(),
                "person": shift.person.id if shift.person else None,
                "source": shift.source,
            }
            for shift in shifts
        ]
        listed = [
            {"id": key, "person": o.person, "start": o.start.isoformat(), "end": o.end.isoformat(), "author": o.author}
            for key, o in made.items()
        ]
        answer = {"schedule": name, "shifts": rows, "overrides": listed, "shadows": learners, "notes": cautions}
        print(json.dumps(answer, indent=2))
        return
    for shift in shifts:
        holder = seen_name(shift.person.name) if shift.person else "NOBODY"
        print(f"{shift.start:%a %Y-%m-%d %H:%M} to {shift.end:%a %Y-%m-%d %H:%M} UTC  {holder}  ({shift.source})")
    if learners:
        print(f"shadows now, and is not paged: {', '.join(map(seen_name, learners))}")
    for key, o in made.items():
        span = f"{o.start:%Y-%m-%d %H:%M} to {o.end:%Y-%m-%d %H:%M} UTC"
        print(f"override {key}: {seen_name(o.person)}, {span}, by {seen_name(o.author)}")
    for warning in cautions:
        print(f"note: {warning}")


@app.command(epilog="Example: watchkeeper oncall ical --days 60 > oncall.ics")
def ical(
    config: ConfigPath = None,
    schedule: Schedule = None,
    days: Days = 30,
    url: Annotated[bool, typer.Option("--url", help="Print the secret address of the feed instead.")] = False,
) -> None:
    """The final schedule as an iCalendar file, on stdout; or the address to which a calendar subscribes."""
    tree, db = opened(config)
    if url:
        print(tree.calendar_url(_named(tree, schedule)))
        return
    overrides = schedules.stored_overrides(db)
    print(
        calendar.to_ical(
            tree.oncall, _named(tree, schedule), _ahead(days), overrides, now=SystemClock().now()
        ).decode(),
        end="",
    )


@app.command(epilog="Example: watchkeeper oncall override ana --from 2026-03-01T18:00 --to 2026-03-02T09:00")
def override(
    person: Annotated[str, typer.Argument(help="Who takes over: an id from oncall.people.")],
    start: Annotated[str, typer.Option("--from", help="An ISO time; without a zone it is UTC.")],
    end: Annotated[str, typer.Option("--to", help="An ISO time; without a zone it is UTC.")],
    config: ConfigPath = None,
    schedule: Schedule = None,
) -> None:
    """Let somebody take over for a while. It beats the rotation wherever on-call is read."""
    hint_at_unused_file(config)
    tree, db = opened(config)
    actor = actor_of()
    name = _named(tree, schedule)
    window = span_of(start, end, "--from and --to")
    made = schedules.Override(schedule=name, person=person, start=window.start, end=window.end, author=actor.name)
    now, holder = SystemClock().now(), seen_name(schedules.person(tree.oncall, person).name)
    schedules.schedule_of(tree.oncall, name)
    if made.end <= now:
        print("note: that time is over, so nothing changes; check --from and --to", file=sys.stderr)
        return
    key, new = schedules.record_override(db, tree.oncall, made, now, actor)
    span = f"{max(made.start, now):%Y-%m-%d %H:%M} to {made.end:%Y-%m-%d %H:%M} UTC"
    print(f"{key}: {holder} is on call in {name!r} from {span}{'' if new else ' (was there already)'}")


@app.command(epilog="Example: watchkeeper oncall remove-override 1f2e3d4c5b6a7980")
def remove_override(
    override: Annotated[str, typer.Argument(help="The override's id, from `oncall schedule`.")],
    config: ConfigPath = None,
) -> None:
    """Take an override back; one that has begun ends now."""
    actor = actor_of()
    schedules.remove_override(Database.open(load(config)), override, SystemClock().now(), actor)
    print(f"{override}: removed")


@app.command("load", epilog="Example: watchkeeper oncall load --days 90")
def show_load(
    config: ConfigPath = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How far back.")] = 30,
    ahead: Annotated[bool, typer.Option("--ahead", help="The days to come instead: hours only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hours, nights, weekends and pages of each person, and how evenly they fall."""
    (tree, db), now = opened(config), SystemClock().now()
    span = timedelta(days=days)
    window = Window(start=now, end=now + span) if ahead else Window(start=now - span, end=now)
    pages = () if ahead else pages_between(db, window)
    parts = parts_of(versions(db), tree.oncall, window, now)
    shares = loads(parts, window, schedules.stored_overrides(db), pages)
    even = {name: round(fairness([getattr(share, name) for share in shares]), 3) for name in MEASURES}
    if as_json:
        people = [{"person": share.person} | {name: getattr(share, name) for name in MEASURES} for share in shares]
        times = {"start": window.start.isoformat(), "end": window.end.isoformat()}
        print(json.dumps(times | {"people": people, "fairness": even}, indent=2))
        return
    width = max([len("evenness"), *(len(seen_name(share.person)) for share in shares)])
    heads = [name.replace("_", " ") for name in MEASURES]
    print(f"{'':{width}}{''.join(f'{head:>15}' for head in heads)}")
    for share in shares:
        values = "".join(f"{round(getattr(share, name), 1):>15g}" for name in MEASURES)
        print(f"{seen_name(share.person):{width}}{values}")
    print(f"{'evenness':{width}}{''.join(f'{even[name]:>15.2f}' for name in MEASURES)}")
    print(f"Evenness is 1 if all have the same share, {1 / max(1, len(shares)):.2f} if one person has all of it.")


def _named(config: Config, schedule: str | None) -> str:
    if schedule:
        return schedule
    if not config.oncall.schedules:
        raise ConfigError("oncall.schedules is empty; add a schedule")
    return config.oncall.schedules[0].id


def _ahead(days: int) -> Window:
    return Window.last(days * 86_400, until=datetime.fromtimestamp(_midnight() + days * 86_400, UTC))


def _midnight() -> int:
    return int(SystemClock().now().timestamp()) // 86_400 * 86_400
