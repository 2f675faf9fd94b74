"""What a role set aside so that the rest goes on: which item, of which loop, why, since when and how often.

A loop that meets a bad item (an alert, a timer, a scrape target, a segment) reports it here and goes on with the next
one. The role keeps the list in `data_dir/run/<role>.problems.json`; `watchkeeper doctor`, `/readyz` and the overview
read it, so that an item that was set aside is never silent.

    for attempt in problems.each("timers", due, name=lambda timer: timer.id):
        with attempt as timer:
            fire(timer)
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, TypeVar

import structlog
from prometheus_client import Counter, Gauge

from watchkeeper.errors import WatchkeeperError
from watchkeeper.text import one_line

SET_ASIDE = Counter("watchkeeper_set_aside_total", "Items that a loop set aside, by loop.", ["loop"])
PROBLEMS = Gauge("watchkeeper_problems", "Problems that stand now, by loop.", ["loop"])

# A problem that did not come again for so long is over; long enough that somebody reads of last night's.
FORGOTTEN_AFTER_S: Final = 24 * 3600.0
# A problem of the last minutes makes `/readyz` say so; an older one is shown by `doctor` and the overview only.
FRESH_S: Final = 300.0
MOST: Final = 200  # problems that one role keeps: the ones that came last, of the loop with the most the fewest
WRITE_EVERY_S: Final = 0.5
SUFFIX: Final = ".problems.json"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that does not work while the rest does. Times are Unix seconds.

    `loop` names what went on without it (`tick`, `timers`, `outbox`, `loader`, `scrape`, `alerts`, …), `subject` the
    item, `reason` why it was set aside; both are one printable line.
    """

    loop: str
    subject: str
    reason: str
    since: float
    last_at: float
    count: int


class Problems:
    """The problems of one process. Threads may share it.

    Args:
        path: where other processes read them; None keeps them in memory.
        clock: Unix seconds.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Problem] = {}
        self._written_at = 0.0
        self._pending = False
        self._logger = structlog.get_logger()
        if path:
            self._known = {(p.loop, p.subject): p for p in _read(path)}

    def report(self, loop: str, subject: object, reason: object) -> None:
        """An item was set aside. The same item again counts up; the first time it is logged, with its traceback."""
        unexpected = reason if isinstance(reason, BaseException) and not isinstance(reason, WatchkeeperError) else None
        if isinstance(reason, WatchkeeperError):
            reason = reason.message
        elif isinstance(reason, BaseException):
            reason = f"{type(reason).__name__}: {reason}"
        key = (loop, one_line(subject))
        now = self._clock()
        with self._lock:
            known = self._known.pop(key, None)
            self._known[key] = Problem(
                loop=loop,
                subject=key[1],
                reason=one_line(reason),
                since=known.since if known else now,
                last_at=now,
                count=(known.count if known else 0) + 1,
            )
            while len(self._known) > MOST:
                # A loop with a flood of them must not hide what the others set aside.
                (fullest, _) = Counts(loop for loop, _ in self._known).most_common(1)[0]
                del self._known[next(key for key in self._known if key[0] == fullest)]
        SET_ASIDE.labels(loop).inc()
        if known is None:
            self._logger.warning("problem.new", loop=loop, subject=key[1], reason=one_line(reason), exc_info=unexpected)
        self._changed(loop, at_once=known is None)

    def solved(self, loop: str, subject: object | None = None) -> None:
        """An item (or everything of a loop) works again."""
        with self._lock:
            gone = [key for key in self._known if key[0] == loop and (subject is None or key[1] == one_line(subject))]
            for key in gone:
                del self._known[key]
        for key in gone:
            self._logger.info("problem.solved", loop=loop, subject=key[1])
        if gone:
            self._changed(loop, at_once=True)

    def current(self) -> tuple[Problem, ...]:
        """What stands now, the latest last."""
        oldest = self._clock() - FORGOTTEN_AFTER_S
        with self._lock:
            return tuple(problem for problem in self._known.values() if problem.last_at >= oldest)

    def summary(self) -> str | None:
        """One sentence for a health check, or None when nothing was set aside in the last minutes."""
        fresh = [p for p in self.current() if p.last_at >= self._clock() - FRESH_S]
        if not fresh:
            return None
        last = fresh[-1]
        others = f", and {len(fresh) - 1} more" if len(fresh) > 1 else ""
        return f"{last.loop} set aside {last.subject}: {last.reason}{others}; see `watchkeeper doctor`"

    def each(self, loop: str, items: Iterable[Item], name: Callable[[Item], object]) -> Iterator[Attempt[Item]]:
        """Each item as a context: an exception inside it sets that item aside, and the loop goes on.

        The names are only asked for when something fails.
        """
        for item in items:
            yield Attempt(self, loop, item, name)

    def _changed(self, loop: str, *, at_once: bool) -> None:
        PROBLEMS.labels(loop).set(sum(problem.loop == loop for problem in self.current()))
        self._pending = True
        if at_once or self._clock() - self._written_at >= WRITE_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write what was not written yet: whoever has a loop calls this now and then, so that counts are right."""
        if self._path is None or not self._pending:
            return
        self._pending = False
        self._written_at = self._clock()
        draft = self._path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps([asdict(problem) for problem in self.current()]), encoding="utf-8")
            draft.replace(self._path)
        except OSError as error:  # a full disk must not stop what this is about
            self._logger.warning("problems.unwritten", error=str(error))


class Attempt(Generic[Item]):
    """One item of a loop; what is raised inside is reported and swallowed."""

    def __init__(self, problems: Problems, loop: str, item: Item, name: Callable[[Item], object]) -> None:
        self._problems = problems
        self._loop = loop
        self._item = item
        self._name = name

    def __enter__(self) -> Item:
        return self._item

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        try:
            subject = self._name(self._item)
        except Exception as nameless:  # noqa: BLE001 - an item so bad that not even its name can be had
            subject = f"an item whose name cannot be read ({type(nameless).__name__})"
        self._problems.report(self._loop, subject, error)
        return True


def read_problems(run_dir: Path) -> dict[str, tuple[Problem, ...]]:
    """The problems of every role that keeps its list in `run_dir`, by role; the latest last."""
    oldest = time.time() - FORGOTTEN_AFTER_S
    by_role = {}
    for path in sorted(run_dir.glob(f"*{SUFFIX}")):
        problems = tuple(problem for problem in _read(path) if problem.last_at >= oldest)
        if problems:
            by_role[path.name.removesuffix(SUFFIX)] = problems
    return by_role


def _read(path: Path) -> list[Problem]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [
            Problem(
                loop=str(row["loop"]),
                subject=str(row["subject"]),
                reason=str(row["reason"]),
                since=float(row["since"]),
                last_at=float(row["last_at"]),
                count=int(row["count"]),
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return []
