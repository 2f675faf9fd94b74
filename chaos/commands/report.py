"""`watchkeeper chaos report`: everything that experiments have shown, as a document."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from chaos.commands.coverage import ShopDir, chosen_target
from watchkeeper.command_options import AsJson, ConfigPath, actor_of
from watchkeeper.text import prose, seen_name


def report(
    config: ConfigPath = None,
    shop: ShopDir = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it as Markdown to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write it as one HTML page to this file.")] = None,
    only_resilience: Annotated[
        bool, typer.Option("--resilience", help="List the weaknesses that are kept, with their state and proposal.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report the scorecard, the coverage map, the next experiments, and how the system bore the loss of its parts.

    Without --markdown and --html it is printed as Markdown. --resilience lists the weaknesses that experiments have
    shown, who decided what about them, and whether a later experiment no longer shows them.
    """
    if only_resilience:
        _findings(config, as_json=as_json)
        return
    from chaos.assessment import assess, observe_experiments
    from chaos.felt import felt_recall
    from chaos.report import as_html, as_markdown, document
    from chaos.resilience import resilience
    from chaos.scorecard import described, scorecard
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.database import Database
    from watchkeeper.store.telemetry import Telemetry

    settings = load(config)
    telemetry = Telemetry.connect(settings)
    with closing(chosen_target(settings, shop)) as target, closing(Database.open(settings)) as db:
        known = assess(db, telemetry, target, SystemClock().now(), settings)
    observed, missing = observe_experiments(telemetry, known.known)
    shown, felt = resilience(observed), felt_recall(known.known, observed)
    if as_json:
        tree = {
            "scorecard": described(scorecard(known.known)),
            "felt": asdict(felt),
            "resilience": asdict(shown),
            "gaps": known.gaps,
        }
        print(json.dumps(tree, indent=2))
        return
    sections = document(known, shown, missing, felt)
    if markdown is None and html is None:
        print(as_markdown(sections))
    if markdown:
        _write(markdown, as_markdown(sections))
    if html:
        _write(html, as_html(sections))


def decide(
    finding: Annotated[str, typer.Argument(metavar="ID", help="One of `chaos report --resilience`, or its beginning.")],
    state: Annotated[str, typer.Argument(metavar="STATE", help="accepted, repaired, or open.")],
    note: Annotated[str, typer.Option(help="Why, for whoever reads it later.")] = "",
    who: Annotated[str | None, typer.Option("--as", help="Your name. Default: the user of this terminal.")] = None,
    config: ConfigPath = None,
) -> None:
    """Decide about a weakness that experiments have shown: accept it, say that it is repaired, or open it again.

    A repaired one that an experiment shows again is open again. Each decision is audited.
    """
    from chaos.findings import STATES
    from chaos.findings import decide as keep_decision
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.errors import ConfigError
    from watchkeeper.state.database import Database

    chosen = next((known for known in STATES if known == state), None)
    if chosen is None:
        raise ConfigError(f"{state!r} is none of {', '.join(STATES)}")
    actor = actor_of(who)
    with closing(Database.open(load(config))) as db:
        kept = keep_decision(db, finding, chosen, actor, note, SystemClock().now())
    print(f"{kept.id[:8]}  {kept.kind} of {seen_name(kept.service)}: {kept.status}")


def _findings(config: Path | None, *, as_json: bool) -> None:
    """Read what is new, where the store answers, and list what is kept."""
    from chaos.findings import catch_up, stored_findings
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.errors import StoreError
    from watchkeeper.state.database import Database
    from watchkeeper.store.telemetry import Telemetry

    settings = load(config)
    with closing(Database.open(settings)) as db:
        try:
            while catch_up(db, Telemetry.connect(settings), SystemClock().now()):
                pass
        except StoreError as error:
            print(f"! the newest experiments are not read: {error.message}", file=sys.stderr)
        kept = stored_findings(db)
    if as_json:
        print(json.dumps([asdict(one) for one in kept], indent=2, default=str))
        return
    for one in kept:
        to = "" if one.dependency == one.service else f" towards {seen_name(one.dependency)}"
        print(f"{one.id[:8]}  {one.kind} of {seen_name(one.service)}{to}: {prose(one.status)}")
        print(f"          {prose(one.shown)} ({one.experiment[:8]}, {one.fault}, {one.last_seen:%Y-%m-%d})")
        print(f"          {prose(one.proposal)}")
    if not kept:
        print("No experiment has shown a weakness.")


def _write(path: Path, text: str) -> None:
    """Raises ChaosError where the file cannot be written."""
    from watchkeeper.errors import ChaosError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ChaosError(f"the report cannot be written to {path}: {error.strerror}") from error
    print(f"written to {path}")
