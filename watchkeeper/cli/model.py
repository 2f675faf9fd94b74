"""`watchkeeper model`: the versions of what the detectors have learnt, and which one decides."""

from __future__ import annotations

import getpass
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from watchkeeper.cli.options import AsJson, ConfigPath
from watchkeeper.clock import SystemClock
from watchkeeper.config import load
from watchkeeper.learning import registry
from watchkeeper.learning.examples import examples
from watchkeeper.learning.loop import Learner
from watchkeeper.state.database import Database
from watchkeeper.state.models import promotion_records, versions

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


@app.command("list", epilog="Example: watchkeeper model list --json")
def list_versions(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Every version: its stage, what it learnt from, and why it is where it is."""
    db = Database.open(load(config))
    why = {(record.name, record.version): record for record in promotion_records(db)}
    known = versions(db)
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "name": one.name,
                        "version": one.version,
                        "stage": one.stage,
                        "digest": one.digest,
                        "created_at": one.created_at.isoformat(),
                        "lineage": dict(one.lineage),
                        "record": dict(why[one.name, one.version].record) if (one.name, one.version) in why else None,
                    }
                    for one in known
                ],
                indent=2,
            )
        )
        return
    if not known:
        print("No version yet: the built-in settings serve. Label incidents, and one is trained.")
        return
    table = Table("Version", "Stage", "Made", "From labels (human, chaos)", "Gate", "Moved by")
    for one in known:
        record = why.get((one.name, one.version))
        labels = f"{one.lineage.get('human labels', '?')}, {one.lineage.get('chaos labels', '?')}"
        gate = str(one.lineage.get("gate", "–"))
        made = f"{one.created_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(str(one.version), one.stage, made, labels, gate, record.actor if record else "–")
    Console().print(table)


@app.command(epilog="Example: watchkeeper model promote 7")
def promote(
    version: Annotated[int, typer.Argument(help="The version to move on: shadow to canary, canary to serving.")],
    config: ConfigPath = None,
    force: Annotated[bool, typer.Option("--force", help="Although the gate refuses. This is recorded.")] = False,
    why: Annotated[str, typer.Option("--why", help="Kept in the record; needed with --force.")] = "",
    as_json: AsJson = False,
) -> None:
    """Move a version one stage on, if the gate on both label sources lets it. Exit status 1 if it refuses."""
    tree = load(config)
    now, rules = SystemClock().now(), tree.learning.gate
    db = Database.open(tree)
    to, verdict = registry.promote(db, version, actor=_actor(), now=now, rules=rules, force=force, why=why)
    if as_json:
        print(json.dumps({"version": version, "stage": to, **verdict.record()}, indent=2))
    else:
        print(f"version {version} is now {to}")


@app.command(epilog='Example: watchkeeper model rollback --why "too quiet on payments"')
def rollback(
    config: ConfigPath = None,
    why: Annotated[str, typer.Option("--why", help="Kept in the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Serve again, exactly, what served before; end a canary."""
    db = Database.open(load(config))
    version = registry.rollback(db, actor=_actor(), now=SystemClock().now(), why=why)
    if as_json:
        print(json.dumps({"serving": version}))
    else:
        print(f"version {version} serves" if version else "the built-in settings serve")


@app.command(epilog="Example: watchkeeper model train")
def train(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Train on every label there is, now. The new version shadows."""
    tree = load(config)
    db = Database.open(tree)
    if not examples(db):
        print(json.dumps({"trained": None}) if as_json else "No labelled incident yet: nothing to learn from.")
        return
    Learner(db, SystemClock(), tree.learning).run(SystemClock().now())
    newest = versions(db, registry.NAME)[-1]
    if as_json:
        print(json.dumps({"trained": newest.version, "stage": newest.stage}))
    else:
        print(f"version {newest.version} ({newest.stage}); gate: {newest.lineage.get('gate')}")
