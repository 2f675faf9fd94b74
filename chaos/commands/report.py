"""`watchkeeper chaos report`: everything that experiments have shown, as a document."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from chaos.commands.coverage import ShopDir, chosen_target
from watchkeeper.command_options import AsJson, ConfigPath


def report(
    config: ConfigPath = None,
    shop: ShopDir = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it as Markdown to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write it as one HTML page to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Report the scorecard, the coverage map, the next experiments, and how the system bore the loss of its parts.

    Without --markdown and --html it is printed as Markdown.
    """
    from chaos.assessment import assess, observe_experiments
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
    shown = resilience(observed)
    if as_json:
        tree = {"scorecard": described(scorecard(known.known)), "resilience": asdict(shown), "gaps": known.gaps}
        print(json.dumps(tree, indent=2))
        return
    sections = document(known, shown, missing)
    if markdown is None and html is None:
        print(as_markdown(sections))
    if markdown:
        _write(markdown, as_markdown(sections))
    if html:
        _write(html, as_html(sections))


def _write(path: Path, text: str) -> None:
    """Raises ChaosError where the file cannot be written."""
    from watchkeeper.errors import ChaosError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ChaosError(f"the report cannot be written to {path}: {error.strerror}") from error
    print(f"written to {path}")
