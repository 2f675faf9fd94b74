"""One run of an experiment from its check to its journal: planned, guarded, reserved, noted, run and recorded."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chaoslib.configuration import load_configuration
from chaoslib.exceptions import ChaosException
from chaoslib.secret import load_secrets

from chaos.blast_radius import reserved
from chaos.running import Note, Notes, own_note
from chaos.surroundings import Surroundings
from chaos.toolkit import journals
from chaos.toolkit.document import ExperimentFile
from chaos.toolkit.guards import Guard, guards_for
from chaos.toolkit.plan import Plan, plan
from chaos.toolkit.redaction import RedactingFormatter, Redactor
from chaos.toolkit.run import LOGGER, Options, play_rollbacks, run
from watchkeeper.clock import SystemClock
from watchkeeper.errors import ChaosError, WatchkeeperError


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The journal, and a summary of it."""

    journal: Mapping[str, Any]
    summary: journals.Summary

    @property
    def was_steady(self) -> bool:
        """Whether the hypothesis held before, or was not asked; otherwise nothing was done."""
        before = (self.journal.get("steady_states") or {}).get("before")
        return before is None or bool(before.get("steady_state_met"))


def conduct(
    experiment: ExperimentFile,
    surroundings: Surroundings,
    options: Options,
    *,
    settings: dict[str, Any],
    journal_path: Path | None = None,
    sealed: bool = False,
    run_id: str = "",
    approved_by: str = "",
    verbose: bool = True,
) -> Outcome:
    """Run an experiment unless it is refused.

    Raises:
        ChaosError: refused, with every reason; nothing was touched.
    """
    surroundings.into_environment(sealed=sealed)
    redactor = Redactor(_secrets(experiment, options))
    outline = plan(experiment, surroundings, options.variables[0])
    guards = _guards(experiment, surroundings, outline)
    with ExitStack() as stack:
        stack.enter_context(reserved(outline.radius))
        if reasons := (*outline.refusals, *_why_not_now(guards)):
            raise ChaosError("\n".join(f"refused: {reason}" for reason in reasons))
        note = own_note(
            run_id or uuid.uuid4().hex,
            title=experiment.title,
            source=experiment.source,
            radius=outline.radius.describe(),
            content=_resolved(experiment, options),
            config=str(surroundings.config_path.absolute()) if surroundings.config_path else "",
            shop=str(surroundings.shop.absolute()) if surroundings.shop else "",
            folder=str(Path.cwd()),
            sealed=sealed,
        )
        facts = journals.Summary(
            id=note.id,
            title=experiment.title,
            source=experiment.source,
            start=note.began,
            status=journals.CUT_SHORT,
            sealed=sealed,
            is_short_form=not Path(experiment.source).suffix,
            approved_by=approved_by,
        )
        paths = [journal_path] if journal_path else []
        if surroundings.names_target:
            paths.append(surroundings.folder() / journals.FOLDER / f"{note.id}.json")
        for path in paths:
            journals.begin(path, experiment, facts, redactor)
        stack.enter_context(_logging(redactor, logging.INFO if verbose else logging.ERROR))
        try:
            journal = run(experiment, note=note, notes=Notes(), settings=settings, options=options, guards=guards)
        except ChaosError as error:
            raise ChaosError(redactor.text(error.message)) from error
        journal["watchkeeper"]["stopped"] = redactor.text(journal["watchkeeper"]["stopped"])
        ended = journals.summary(journal, facts)
        journal["watchkeeper"] = asdict(ended)
        for path in paths:
            journals.keep(path, journal, redactor)
    return Outcome(journal=redactor.anything(journal), summary=ended)


def planned(experiment: ExperimentFile, surroundings: Surroundings) -> Plan:
    """What an experiment would do, and every reason why it may not run now. Touches nothing."""
    outline = plan(experiment, surroundings)
    reasons = list(outline.refusals)
    try:
        reasons += _why_not_now(_guards(experiment, surroundings, outline))
        with reserved(outline.radius):
            pass
    except ChaosError as error:
        reasons.append(error.message)
    return replace(outline, refusals=tuple(reasons))


def clear_up(note: Note, notes: Notes) -> str:
    """Play the rollbacks of an experiment that was cut short. Returns why that failed; empty: it is cleared up."""
    with notes.claimed(note.id) as is_ours:
        if is_ours:
            return _clear_up(note, notes)
    is_left = any(each.id == note.id for each in notes.all())
    return f"{note.shown_title()}: another process plays its rollbacks now" if is_left else ""


def _clear_up(note: Note, notes: Notes) -> str:
    Surroundings(
        shop=Path(note.shop) if note.shop else None, config_path=Path(note.config) if note.config else None
    ).into_environment()
    redactor = Redactor()
    try:
        redactor = Redactor(_secrets(ExperimentFile(source=note.source, content=note.content), Options()))
        with _logging(redactor, logging.ERROR), chdir(note.folder or Path.cwd()):
            journal = play_rollbacks(note.content)
    except (WatchkeeperError, ChaosException, OSError) as error:
        return redactor.text(f"{note.shown_title()}: {error}; its rollbacks were not played")
    failed = [run["activity"]["name"] for run in journal["rollbacks"] if run["status"] != "succeeded"]
    if failed:
        return f"{note.shown_title()}: the rollback {failed[0]!r} failed; do it by hand, or run `chaos stop` again"
    notes.remove(note.id)
    return ""


def _guards(experiment: ExperimentFile, surroundings: Surroundings, outline: Plan) -> tuple[Guard, ...]:
    config = surroundings.config if surroundings.config_path else None
    return guards_for(experiment.extension.abort, config, outline.related, SystemClock().now())


def _why_not_now(guards: Iterable[Guard]) -> list[str]:
    """Every reason why no experiment, or this one, may begin now."""
    reasons = []
    for guard in guards:
        try:
            reasons += [reason] if (reason := guard.look()) else []
        except WatchkeeperError as error:
            reasons.append(f"{guard.name} cannot be read: {error.message}")
    return reasons + [
        f"{note.shown_title()!r} was cut short and its rollbacks were not played; `watchkeeper chaos stop` plays them"
        for note in Notes().cut_short()
        if note.content.get("rollbacks")
    ]


def _resolved(experiment: ExperimentFile, options: Options) -> dict[str, Any]:
    """The content with values in its configuration: whoever clears up may have another environment and no variables."""
    values = load_configuration(experiment.content.get("configuration") or {}, dict(options.variables[0]))
    return {**experiment.content, "configuration": values}


def _secrets(experiment: ExperimentFile, options: Options) -> list[Any]:
    """What must not be written anywhere."""
    values, secret_values = options.variables
    try:
        configuration = load_configuration(experiment.content.get("configuration") or {}, dict(values))
        loaded = load_secrets(experiment.content.get("secrets") or {}, configuration, dict(secret_values))
    except ChaosException as error:
        raise ChaosError(f"{experiment.source}: {error}") from error
    return [loaded, dict(secret_values)]


@contextmanager
def _logging(redactor: Redactor, level: int) -> Iterator[None]:
    """The library's log on stderr, without secrets."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(redactor, "%(message)s"))
    logger = logging.getLogger("chaostoolkit")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
