"""`watchkeeper oncall history`, `diff` and `export`: the rota as it was, as it is, and as the file has it."""

from __future__ import annotations

import difflib
import json
from typing import Annotated

import typer
import yaml

from alerting.commands.oncall_times import time_of
from alerting.oncall.versions import rota_at, text_of, versions
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath
from watchkeeper.config import load
from watchkeeper.state.database import Database
from watchkeeper.text import seen_name


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
    """What the file changes of the rota that is in force, which the watch role uses. Exit status 1: something."""
    tree = load(config)
    known = versions(Database.open(tree))
    before = _yaml(known[-1].text) if known else []
    name = f"version {known[-1].id}, in force" if known else "nothing in force"
    lines = list(
        difflib.unified_diff(before, _yaml(text_of(tree.oncall)), name, str(config or "defaults"), lineterm="")
    )
    for line in lines:
        print(line)
    if lines:
        print("The watch role uses the file's rota once it is started again.")
        raise typer.Exit(1)
    print("The file's rota is in force.")


def export(
    config: ConfigPath = None,
    at: Annotated[str | None, typer.Option("--at", help="An ISO time, also in the past. Default: now.")] = None,
) -> None:
    """The `oncall:` section of a time as YAML, with every default."""
    tree = load(config)
    now = SystemClock().now()
    oncall = rota_at(versions(Database.open(tree)), tree.oncall, time_of(at), now)
    print(yaml.safe_dump({"oncall": oncall.model_dump(mode="json")}, sort_keys=False, allow_unicode=True), end="")


def _yaml(text: str) -> list[str]:
    return yaml.safe_dump(json.loads(text), sort_keys=True, allow_unicode=True).splitlines()
