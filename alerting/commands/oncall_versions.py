"""`watchkeeper oncall history`, `diff`, `apply` and `export`: the rota as it was, as it is, and as the file has it."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, Final

import typer
import yaml

from alerting.commands.oncall_times import time_of
from alerting.oncall.applying import Plan, bring_into_force, expect, plan_file
from alerting.oncall.schedule import stored_overrides
from alerting.oncall.versions import newest_id, rota_at, text_of, versions
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, actor_of, hint_at_unused_file
from watchkeeper.config import load
from watchkeeper.state.database import Database
from watchkeeper.state.file_owned import PREFIX
from watchkeeper.text import one_line, seen_name

IN_FORCE: Final = "The file's rota is in force."


def history(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Each version of the rota that ran, and from when on it was in force."""
    known = versions(Database.open(load(config)))
    if as_json:
        print(json.dumps([{"version": each.id, "since": each.since.isoformat(), "by": each.by} for each in known]))
        return
    before: list[str] = []
    for each in known:
        lines = _yaml(each.text)
        changed = [line for line in difflib.ndiff(before, lines) if line[:1] in "+-"] if before else []
        what = f"{len(changed)} lines changed" if before else "the first"
        print(f"version {each.id}  since {each.since:%Y-%m-%d %H:%M} UTC  by {seen_name(each.by)}  {what}")
        before = lines
    if not known:
        print("No version: the watch role records one when it starts.")


def diff(config: ConfigPath = None) -> None:
    """What the file changes of the rota that is in force, which the roles use. Exit status 1: something."""
    plan, _ = _plan(config)
    if not _print_changes(plan, config):
        print(IN_FORCE)
        return
    version = f" --version {plan.follows}" if plan.before else ""
    print(f"`watchkeeper oncall apply{version}` brings this into force. So does the next start of the watch role.")
    raise typer.Exit(1)


def apply(
    config: ConfigPath = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and print what changes; keep nothing.")
    ] = False,
    version: Annotated[
        int | None,
        typer.Option("--version", min=0, help="The version that you looked at: refused if another is in force."),
    ] = None,
) -> None:
    """Bring the file's rota into force. Roles that run use it within seconds; escalations that run keep their steps."""
    hint_at_unused_file(config)
    plan, db = _plan(config)
    expect(plan, version)
    changes = _print_changes(plan, config)
    if dry_run:
        print("This would come into force; nothing was kept." if changes else IN_FORCE)
        return
    now = SystemClock().now()
    if bring_into_force(db, plan, now, actor_of()):
        print(f"Version {newest_id(db)} is in force since {now:%Y-%m-%d %H:%M:%S} UTC.")
    else:
        print(IN_FORCE)


def export(
    config: ConfigPath = None,
    at: Annotated[str | None, typer.Option("--at", help="An ISO time, also in the past. Default: now.")] = None,
) -> None:
    """The `oncall:` section of a time as YAML, with every default; as comments, what the file does not own."""
    tree = load(config)
    db, now, moment = Database.open(tree), SystemClock().now(), time_of(at)
    known = versions(db)
    oncall = rota_at(known, known[-1].oncall if known else tree.oncall, moment, now)
    print(yaml.safe_dump({"oncall": oncall.model_dump(mode="json")}, sort_keys=False, allow_unicode=True), end="")
    then = [each for each in known if each.since <= moment][-1:]
    for key, who in then[0].owners.others.items() if then else ():
        print(f"# {one_line(key, 100)} is not owned by the file: {seen_name(who)} made it")
    for each in stored_overrides(db):
        if each.end > moment and not each.id.startswith(PREFIX):
            span = f"from {each.start:%Y-%m-%dT%H:%M}Z to {each.end:%Y-%m-%dT%H:%M}Z"
            print(f"# override {each.id}: {seen_name(each.person)} has {seen_name(each.schedule)} {span}")


def _plan(config: Path | None) -> tuple[Plan, Database]:
    tree = load(config)
    db = Database.open(tree)
    return plan_file(db, tree, str(config.absolute()) if config else ""), db


def _print_changes(plan: Plan, config: Path | None) -> bool:
    """What a plan changes, as a diff of YAML, and whose objects stay or are taken over; whether it is anything."""
    before = _yaml(plan.before.text) if plan.before else []
    name = f"version {plan.before.id}, in force" if plan.before else "nothing in force"
    after = str(config or "defaults")
    lines = list(difflib.unified_diff(before, _yaml(text_of(plan.oncall)), name, after, lineterm=""))
    for line in lines:
        print(line)
    owned = plan.before.owners.others if plan.before else {}
    for key, who in owned.items():
        if key in plan.owners.others:
            print(f"note: {one_line(key, 100)} stays as it is: {seen_name(who)} made it, not the file")
        else:
            print(f"note: {one_line(key, 100)}, made by {seen_name(who)}, is the file's from now on")
    return bool(lines) or owned != plan.owners.others


def _yaml(text: str) -> list[str]:
    return yaml.safe_dump(json.loads(text), sort_keys=True, allow_unicode=True).splitlines()
