"""Run an experiment with Chaos Toolkit's library, under watch, and end it early where it must not go on.

The library checks the hypothesis, plays the method and the rollbacks and writes the journal; its status is the same as
under `chaos`. Around it: a note that it runs, guards that look once a second, a stop that reverts at once, and
rollbacks also after an interruption, which the library leaves out by default.

    checking ──► method ──► rollbacks ──► journal
        │          │ a guard, a signal: the method ends; a fault of our own is reverted by its own action
        └──────────┴──► rollbacks
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final

from chaoslib.caching import cache_activities, clear_cache
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import run_experiment
from chaoslib.run import EventHandlerRegistry, RunEventHandler, initialize_run_journal, run_rollback
from chaoslib.types import Dry, Schedule, Strategy

from chaos.running import Note, Notes, Phase, entered
from chaos.toolkit import stopping
from chaos.toolkit.document import ExperimentFile
from chaos.toolkit.guards import Guard
from watchkeeper.errors import ChaosError
from watchkeeper.text import one_line

LOGGER: Final = logging.getLogger("chaostoolkit.watchkeeper")
LOOK_EVERY_S: Final = 1.0
INSIST_EVERY_S: Final = 0.5
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # SIGHUP: the terminal was closed
LEAVE_WITH_ROLLBACKS: Final = 20  # the library's own code for an end in which rollbacks are played: chaoslib.exit
# A guard that cannot look does not know that all is well; so many looks may fail in a row.
BLIND_LOOKS: Final = 3
STRATEGIES: Final = {
    "default": Strategy.DEFAULT,
    "before-method-only": Strategy.BEFORE_METHOD,
    "after-method-only": Strategy.AFTER_METHOD,
    "during-method-only": Strategy.DURING_METHOD,
    "continuously": Strategy.CONTINUOUS,
    "continously": Strategy.CONTINUOUS,
    "skip": Strategy.SKIP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run it; as the options of `chaos run`. None: what the file, else the settings, ask for."""

    hypothesis_strategy: str | None = None
    rollback_strategy: str | None = None
    frequency_s: float = 1.0
    fail_fast: bool = False
    dry: str | None = None
    variables: tuple[Mapping[str, Any], Mapping[str, Any]] = field(default_factory=lambda: ({}, {}))


def run(
    experiment: ExperimentFile,
    *,
    note: Note,
    notes: Notes,
    settings: dict[str, Any],
    options: Options,
    guards: Iterable[Guard] = (),
) -> dict[str, Any]:
    """Run it once, in the main thread. Returns the library's journal; `watchkeeper.stopped` is why it ended early.

    Raises:
        ChaosError: it cannot be run at all: its configuration or a secret cannot be read.
    """
    content = experiment.copied()
    content["dry"] = Dry.from_string(options.dry) if options.dry else None
    hypothesis, rollbacks = _strategies(experiment, settings, options)
    settings = {
        **settings,
        "runtime": {**(settings.get("runtime") or {}), "rollbacks": {"strategy": rollbacks or "default"}},
    }
    course = _Course(note, notes, tuple(guards), watches_hypothesis=experiment.extension.abort.hypothesis)
    stopping.reset()
    notes.write(note)
    # Ours before the library's too: it puts back what it found, and guards may insist until the rollbacks begin.
    own = {number: signal.signal(number, course.on_signal) for number in SIGNALS if _is_heard(number)}
    try:
        journal = _run(content, settings, options, STRATEGIES[hypothesis], course)
        _play_rollbacks_left_out(content, journal, course, rollbacks)
    finally:
        course.over()
        for number, handler in own.items():
            signal.signal(number, handler)
        notes.remove(note.id)
    journal["experiment"]["dry"] = options.dry
    journal["watchkeeper"] = {"id": note.id, "stopped": course.stopped}
    return journal


def play_rollbacks(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Play the rollbacks of an experiment whose process is gone. Returns a journal that has only them."""
    from chaoslib.configuration import load_configuration, load_dynamic_configuration
    from chaoslib.secret import load_secrets

    content = dict(experiment)
    journal: dict[str, Any] = initialize_run_journal(content)
    journal["status"] = "interrupted"
    configuration = load_configuration(content.get("configuration", {}))
    secrets = load_secrets(content.get("secrets", {}), configuration)
    configuration = load_dynamic_configuration(configuration, secrets)
    _rollbacks(content, journal, configuration, secrets, EventHandlerRegistry())
    return journal


def _strategies(experiment: ExperimentFile, settings: Mapping[str, Any], options: Options) -> tuple[str, str | None]:
    """The hypothesis' strategy, and that of the rollbacks where anybody asks for one; precedence as under `chaos`."""

    def asked(kind: str) -> str | None:
        runtime = (settings.get("runtime") or {}).get(kind) or {}
        # A file with a `runtime` of its own replaces the settings' as a whole.
        return experiment.strategy(kind) if experiment.content.get("runtime") else runtime.get("strategy")

    watched = "continuously" if experiment.extension.abort.hypothesis else "default"
    hypothesis = options.hypothesis_strategy or asked("hypothesis") or watched
    if hypothesis not in STRATEGIES:
        raise ChaosError(f"there is no hypothesis strategy {hypothesis!r}; choose one of {', '.join(STRATEGIES)}")
    return hypothesis, options.rollback_strategy or asked("rollbacks")


def _run(
    content: dict[str, Any], settings: dict[str, Any], options: Options, strategy: Strategy, course: _Course
) -> dict[str, Any]:
    schedule = Schedule(continuous_hypothesis_frequency=options.frequency_s, fail_fast=options.fail_fast)
    try:
        journal: dict[str, Any] = run_experiment(
            content,
            settings=settings,
            experiment_vars=options.variables,
            strategy=strategy,
            schedule=schedule,
            event_handlers=[course],
        )
        course.leave()
    except SystemExit:
        # Between two parts of the experiment, where the library does not expect it; also before its first.
        course.leave()
        journal = _left(course, content, "interrupted")
    except Exception as error:
        # The library stops where it is when a look at the hypothesis raises, such as by a value of another type.
        course.leave()
        why = one_line(error) if isinstance(error, ChaosException) else f"{type(error).__name__}: {one_line(error)}"
        if course.phase == "checking":
            raise ChaosError(f"{content.get('title', '')}: {why}") from error
        LOGGER.warning("ended early: %s", why)
        course.stopped = course.stopped or why
        journal = _left(course, content, "aborted")
    return journal


def _left(course: _Course, content: dict[str, Any], status: str) -> dict[str, Any]:
    """The journal as the library left it."""
    journal = course.journal or initialize_run_journal(content)
    journal["status"] = status
    journal.setdefault("end", datetime.now(UTC).isoformat())
    return journal


def _play_rollbacks_left_out(
    content: dict[str, Any], journal: dict[str, Any], course: _Course, strategy: str | None
) -> None:
    """After an interruption or a failure the library plays none unless asked to: but what was broken must be put back.

    Where a strategy was asked for in so many words, what that leaves open; none where the method was not begun. What
    the journal says of the method is no sign: an activity that was cut short may have broken something unrecorded.
    """
    if journal["rollbacks"] or course.phase == "checking" or not content.get("rollbacks"):
        return
    status = journal["status"]
    by_strategy = {None: status in ("interrupted", "failed", "aborted"), "default": status == "aborted", "always": True}
    if not by_strategy.get(strategy, False):
        return
    course.enter_rollbacks()
    _rollbacks(content, journal, course.configuration, course.secrets, course.registry)


def _rollbacks(
    content: dict[str, Any],
    journal: dict[str, Any],
    configuration: Mapping[str, Any],
    secrets: Mapping[str, Any],
    registry: EventHandlerRegistry,
) -> None:
    background = sum(bool(activity.get("background")) for activity in content.get("rollbacks", []))
    pool = ThreadPoolExecutor(background) if background else None
    cache_activities(content)
    try:
        run_rollback("always", pool, content, journal, configuration, secrets, registry, content.get("dry"))
    finally:
        clear_cache()


class _Course(RunEventHandler):  # type: ignore[misc] # the library ships no types
    """Follows one run: its phase, what it was given, and the guards that may end it."""

    def __init__(self, note: Note, notes: Notes, guards: tuple[Guard, ...], *, watches_hypothesis: bool) -> None:
        self._note = note
        self._notes = notes
        self._guards = guards
        self._watches_hypothesis = watches_hypothesis
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="guards", daemon=True)
        self._interrupted = False
        self._ending: SystemExit | None = None
        self._signalling = threading.Lock()
        self._left = False
        self._over = False
        self.phase: Phase = "checking"
        self.stopped = ""
        self.journal: dict[str, Any] = {}
        self.configuration: Mapping[str, Any] = {}
        self.secrets: Mapping[str, Any] = {}
        self.registry = EventHandlerRegistry()

    def enter(self, phase: Phase) -> None:
        """Note the phase, on the disk before anything of it happens."""
        self.phase = phase
        self._note = entered(self._note, phase)
        self._notes.write(self._note)

    def enter_rollbacks(self) -> None:
        """Note it if that can be done: a disk that is full must not keep anything from being put back."""
        with suppress(OSError):
            self.enter("rollbacks")

    def leave(self) -> None:
        """The library is done: what comes now is put back, whoever signals."""
        self._left = True

    def over(self) -> None:
        """No guard looks any more, and nobody signals."""
        with self._signalling:
            self._ended.set()
            self._over = True

    # What the library calls.

    def started(self, experiment: Any, journal: dict[str, Any]) -> None:  # noqa: ARG002
        self.journal = journal

    def running(
        self,
        experiment: Any,  # noqa: ARG002
        journal: Any,  # noqa: ARG002
        configuration: Mapping[str, Any],
        secrets: Mapping[str, Any],
        schedule: Any,  # noqa: ARG002
        settings: Any,  # noqa: ARG002
    ) -> None:
        self.configuration, self.secrets = configuration, secrets
        # In place of the library's own handler, which would interrupt rollbacks too; it puts the old one back.
        for number in filter(_is_heard, SIGNALS):
            signal.signal(number, self.on_signal)

    def start_method(self, experiment: Any) -> None:  # noqa: ARG002
        try:
            self.enter("method")
        except OSError as error:
            self.phase = "checking"
            self.stopped = f"it could not be noted that it runs: {one_line(error)}"
            raise SystemExit(LEAVE_WITH_ROLLBACKS) from error  # the library drops every Exception of a handler
        self._watcher.start()

    def method_completed(self, experiment: Any, state: Any = None) -> None:  # noqa: ARG002
        self._ended.set()

    def start_rollbacks(self, experiment: Any) -> None:  # noqa: ARG002
        self.enter_rollbacks()

    def continuous_hypothesis_iteration(self, iteration_index: int, state: Any) -> None:  # noqa: ARG002
        if self._watches_hypothesis and state is not None and not state["steady_state_met"]:
            probe = state["probes"][-1]["activity"]["name"]
            self._end_early(f"the probe {probe!r} left its tolerance")

    # What ends it early.

    def _watch(self) -> None:
        blind: dict[str, int] = {}
        while not self._ended.wait(LOOK_EVERY_S):
            for guard in self._guards:
                try:
                    reason = guard.look()
                    blind.pop(guard.name, None)
                except Exception as error:  # noqa: BLE001 - a guard that raises whatever must not end the watch
                    looks = blind[guard.name] = blind.get(guard.name, 0) + 1
                    reason = f"{guard.name} cannot be read: {one_line(error)}" if looks >= BLIND_LOOKS else ""
                if reason:
                    self._end_early(reason)
                    return

    def _end_early(self, reason: str) -> None:
        if not self.stopped and self.phase == "method":
            self.stopped = reason
            stopping.request()
            self._signal()

    def _signal(self) -> None:
        with self._signalling:
            if not self._over:
                os.kill(os.getpid(), signal.SIGTERM)

    def _insist(self) -> None:
        """Activities in the background are waited for: not for ever, once an end is asked for."""
        while self.phase != "rollbacks" and not self._left:
            time.sleep(INSIST_EVERY_S)
            self._signal()

    def on_signal(self, _number: int, frame: FrameType | None) -> None:
        """End the method; a second time, only the wait for what runs in the background."""
        if self.phase == "rollbacks" or self._left:
            return  # it is ending already
        if self._interrupted and (stopping.is_held() or not (_waits_for_background(frame) or self._is_lost())):
            return  # something is being reverted: let it
        if not self._interrupted:
            threading.Thread(target=self._insist, name="insist", daemon=True).start()
        self._interrupted = True
        stopping.request()
        self.stopped = self.stopped or "somebody stopped it"
        LOGGER.warning("ended early: %s", self.stopped)
        # No Exception: what a Python activity raises, the library takes for a failed activity, and goes on.
        self._ending = SystemExit(LEAVE_WITH_ROLLBACKS)
        raise self._ending

    def _is_lost(self) -> bool:
        """Whether somebody took the end that was raised for an ordinary exception, and goes on: it is raised again."""
        handled = sys.exc_info()[1]
        while handled is not None and handled is not self._ending:
            handled = handled.__context__
        return handled is None and self.journal.get("status") != "interrupted"


def _is_heard(number: int) -> bool:
    """Whether whoever started this process wants it to notice the signal: `nohup` does not."""
    return signal.getsignal(number) is not signal.SIG_IGN


def _waits_for_background(frame: FrameType | None) -> bool:
    """Whether the main thread waits for activities in the background to end by themselves."""
    while frame is not None:
        if frame.f_code.co_name == "shutdown" and frame.f_globals.get("__name__") == "concurrent.futures.thread":
            return True
        frame = frame.f_back
    return False
