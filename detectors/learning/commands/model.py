"""`watchkeeper model`: the versions of what the detectors have learned, which one decides, and what it suppressed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detectors.learning import versions as registry
from detectors.learning.examples import examples
from detectors.learning.loop import Learner
from detectors.learning.model import LearnedModel
from detectors.learning.suppression import SuppressedFinding, reopen, suppressed_findings
from watchkeeper.clock import SystemClock
from watchkeeper.command_options import AsJson, ConfigPath, Who, actor_of, user_name
from watchkeeper.config import Config, load
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.state.database import Database
from watchkeeper.state.diagnosis_verdicts import accuracy_by_version
from watchkeeper.state.models import DETECTORS, ModelVersion, Promotion, promotion_records, version_of, versions
from watchkeeper.text import prose, seen_name

WEIGHTS = "rca"  # the model of the diagnosis, whose versions stand in the same list

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

Version = Annotated[int, typer.Argument(help="A version's number, from `model list`.")]
Why = Annotated[str, typer.Option("--why", help="Kept in the record.")]


def _actor() -> str:
    return f"cli:{user_name()}"


def _open(config: Any) -> tuple[Config, Database]:
    tree = load(config)
    return tree, Database.open(tree)


@app.command("list", epilog="Example: watchkeeper model list --json")
def list_versions(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Every version of the detectors' model and of the diagnosis' weights: its stage, its labels, and who moved it.

    AC@1 is the share of incidents with a named cause whose first suspect, by this version, was that cause.
    """
    _, db = _open(config)
    moved = {(record.name, record.version): record for record in promotion_records(db)}
    known = versions(db)
    accuracy = accuracy_by_version(db)
    if as_json:
        facts = [_facts(one, moved.get((one.name, one.version))) | _accuracy(one, accuracy) for one in known]
        print(json.dumps(facts, indent=2))
        return
    if not known:
        print("No version yet: the built-in settings serve. Label incidents, and one is trained.")
        return
    table = Table("Model", "Version", "Stage", "AC@1", "Made", "From labels (human, chaos)", "Moved by", "Why")
    for one in known:
        record = moved.get((one.name, one.version))
        labels = f"{one.lineage.get('human labels', '?')}, {one.lineage.get('chaos labels', '?')}"
        made = f"{one.created_at:%Y-%m-%d %H:%M} UTC"
        why = str(record.record.get("why") or record.record.get("gate", "")) if record else ""
        table.add_row(
            one.name,
            str(one.version),
            one.stage,
            _accuracy(one, accuracy).get("AC@1", "–"),
            made,
            labels,
            escape(seen_name(record.actor)) if record else "–",
            escape(prose(why) if why else "") or "–",
        )
    Console().print(table)
    if 0 in accuracy:
        print(f"The default weights of the diagnosis: AC@1 {accuracy[0][0]} of {accuracy[0][1]}")


@app.command(epilog="Example: watchkeeper model show 7")
def show(version: Version, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """One version: what it learned, and what the gate says of it now."""
    tree, db = _open(config)
    one = version_of(db, DETECTORS, version)
    learned = registry.load(one)
    verdict = registry.gate(db, one, SystemClock().now(), tree.learning.gate)
    if as_json:
        content = json.loads(one.content)
        print(json.dumps({**_facts(one, None), "content": content, "verdict": verdict.record()}, indent=2))
        return
    print(f"version {one.version}, {one.stage}; made {one.created_at:%Y-%m-%d %H:%M} UTC; digest {one.digest[:16]}")
    for name, value in one.lineage.items():
        print(f"  {name}: {value}")
    for line in _content(learned):
        print(line)
    record = verdict.record()
    print(f"The gate, now: {record['gate']}")
    for source in ("human", "chaos"):
        print(f"  by {source} labels: {record[f'{source}_new']}; what serves: {record[f'{source}_before']}")


@app.command(epilog="Example: watchkeeper model record --json")
def record(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """The promotion record: every change of stage, who or what made it, when, on which labels, by which numbers."""
    _, db = _open(config)
    moves = promotion_records(db, DETECTORS)
    if as_json:
        print(json.dumps([_move(one) for one in moves], indent=2))
        return
    if not moves:
        print("Nothing has moved yet.")
    for one in moves:
        print(f"{one.at:%Y-%m-%d %H:%M:%S} UTC  version {one.version} → {one.stage}, by {seen_name(one.actor)}")
        for line in _reasons(one):
            print(f"    {line}")


@app.command(epilog="Example: watchkeeper model promote 7")
def promote(
    version: Annotated[int, typer.Argument(help="The version to move on: shadow to canary, canary to serving.")],
    config: ConfigPath = None,
    force: Annotated[bool, typer.Option("--force", help="Although the gate refuses; give --why.")] = False,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Move a version one stage on, if the gate on both label sources lets it. Exit status 1 if it refuses."""
    if force and not why:
        raise ConfigError("--force bypasses the gate: give --why with a reason; the record keeps it")
    tree, db = _open(config)
    now, rules = SystemClock().now(), tree.learning.gate
    to, verdict = registry.promote(db, version, actor=_actor(), now=now, rules=rules, force=force, why=why)
    if as_json:
        print(json.dumps({"version": version, "stage": to, **verdict.record()}, indent=2))
    else:
        print(f"version {version} is now {to}")


@app.command(epilog='Example: watchkeeper model rollback --why "too quiet on payments"')
def rollback(config: ConfigPath = None, why: Why = "", as_json: AsJson = False) -> None:
    """End the canary if one runs; else serve again, exactly, what served before. Nothing moves by itself after that."""
    _, db = _open(config)
    version = registry.rollback(db, actor=_actor(), now=SystemClock().now(), why=why)
    if as_json:
        print(json.dumps({"serving": version}))
    else:
        print(f"version {version} serves" if version else "the built-in settings serve")


@app.command(epilog="Example: watchkeeper model train")
def train(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Train on every label there is, now. The new version shadows."""
    tree, db = _open(config)
    if not examples(db):
        print(json.dumps({"trained": None}) if as_json else "No labelled incident yet: nothing to learn from.")
        return
    Learner(db, SystemClock(), tree.learning).run(SystemClock().now())
    newest = versions(db, DETECTORS)[-1]
    if as_json:
        print(json.dumps({"trained": newest.version, "stage": newest.stage}))
    else:
        print(f"version {newest.version} ({newest.stage}); `watchkeeper model show {newest.version}` shows it")


@app.command("suppressed", epilog="Example: watchkeeper model suppressed --json")
def list_suppressed(
    config: ConfigPath = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Findings that a version suppressed, newest first, each with its reason."""
    _, db = _open(config)
    findings = suppressed_findings(db, limit)
    if as_json:
        print(json.dumps([_suppressed(one) for one in findings], indent=2))
        return
    if not findings:
        print("Nothing was suppressed.")
    for one in findings:
        state = "reopened" if one.reopened else "fires" if one.cleared_at is None else "cleared"
        print(f"{one.finding.seen_at:%Y-%m-%d %H:%M} UTC  {state:8}  {one.finding.key}  {prose(one.finding.summary)}")
        print(f"    version {one.version}: {prose(one.reason)}")


@app.command("reopen", epilog='Example: watchkeeper model reopen red:latency:cart --why "customers called"')
def reopen_finding(
    key: Annotated[str, typer.Argument(help="The finding's key, from `model suppressed`.")],
    config: ConfigPath = None,
    who: Who = None,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Decide that a finding should have paged. Its detector on its service is never suppressed again.

    If the finding still fires, it pages. Exit status 4 if somebody reopened it before.
    """
    _, db = _open(config)
    actor = actor_of(who)
    changed, message = reopen(db, key, actor, SystemClock().now(), why)
    print(json.dumps({"changed": changed, "message": message}) if as_json else message)
    if not changed:
        raise typer.Exit(Conflict.exit_code)


def _accuracy(one: ModelVersion, accuracy: Mapping[int, tuple[int, int]]) -> dict[str, str]:
    """How often a version of the diagnosis' weights named the cause; nothing for another model."""
    if one.name != WEIGHTS or one.version not in accuracy:
        return {}
    right, judged = accuracy[one.version]
    return {"AC@1": f"{right} of {judged}"}


def _facts(one: ModelVersion, moved: Promotion | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": one.version,
        "stage": one.stage,
        "digest": one.digest,
        "created_at": one.created_at.isoformat(),
        "lineage": dict(one.lineage),
        "record": dict(moved.record) if moved else None,
    }


def _move(one: Promotion) -> dict[str, Any]:
    return {
        "version": one.version,
        "stage": one.stage,
        "at": one.at.isoformat(),
        "actor": one.actor,
        "record": dict(one.record),
    }


def _suppressed(one: SuppressedFinding) -> dict[str, Any]:
    return {
        "key": one.finding.key,
        "service": one.finding.service,
        "detector": one.finding.detector,
        "summary": one.finding.summary,
        "seen_at": one.finding.seen_at.isoformat(),
        "cleared_at": one.cleared_at.isoformat() if one.cleared_at else None,
        "version": one.version,
        "reason": one.reason,
        "began_at": one.began.isoformat(),
        "until": one.until.isoformat() if one.until else None,
        "incident": one.incident_id,
        "reopened": one.reopened,
    }


def _content(learned: LearnedModel) -> list[str]:
    """What a version learned, for a terminal."""
    lines = [f"Detectors: {len(learned.detectors)}, on {len(learned.groups)} services; cut at {learned.cut:.0%}"]
    for name, one in sorted(learned.groups.items()):
        detector, service = name.split("|", 1)
        needs = learned.strictness.get(name)
        stricter = f"; needs {needs:g} times the evidence" if needs else ""
        lines.append(f"  {detector} on {service}: right {one.right} of {one.right + one.wrong}{stricter}")
    incidents = len({one.incident_id for one in learned.false_pages})
    return [*lines, f"False pages that it remembers: {len(learned.false_pages)} findings of {incidents} incidents"]


def _reasons(one: Promotion) -> list[str]:
    """Why a version moved: the gate's numbers, or words."""
    kept = one.record
    lines = [str(kept["why"])] if kept.get("why") else []
    if kept.get("forced"):
        lines.append("forced, although the gate refused")
    for source in ("human", "chaos"):
        if labels := (kept.get("labels") or {}).get(source):
            counts = f"{labels['incidents']} incidents, {labels['warranted']} warranted, {labels['false']} false"
            new, before = kept.get(f"{source}_new"), kept.get(f"{source}_before")
            lines.append(f"{source} labels: {counts}; {new} (before: {before})")
    return lines
