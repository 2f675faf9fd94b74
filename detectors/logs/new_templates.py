"""New, surging and vanished kinds of log lines: evidence for an incident, a ticket by itself.

Idea: lines become templates as they come (`detectors.templates`), and each service's templates become counts over
the last minutes. A template is news where its service has been quiet about news: as many new ones must be improbable
at the rate at which the service showed new ones before. A surge is measured against the template's usual share of
its service's lines, so that more traffic is none; what vanished must have been steady, and its service must go on.
Assumes that programs repeat themselves. Fails on prose, and sees only `MOST_BODIES` different lines a read: what is
over that is counted, and the rest judged. Cost: about 4 µs for each different line, and one (templates, buckets) array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from prometheus_client import Counter, Gauge
from scipy.special import pdtr, pdtrc

from detectors.detector import Seen, Setup
from detectors.evidence import by_group, to_probability
from detectors.simulated import Example, Simulated
from detectors.templates.miner import TemplateMiner
from watchkeeper.vocabulary import Finding, utc

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

VERSION: Final = "1"
STEP_S: Final = 10  # seconds in a bucket: a burst of lines is over in some seconds
BUCKETS: Final = 90  # a quarter of an hour: what a service logs in its usual course comes up within it
MOST_ROWS: Final = 20_000  # bounds memory: 90 numbers of 8 bytes each, 14 MB
KNOWN_FOR: Final = 9  # buckets that a service must have logged before anything of it can be new
RECENT: Final = 6  # buckets in which a template still counts as new, and lines as a surge
GONE: Final = 6  # buckets without a line before a steady template has vanished
CHANCE: Final = 1e-4  # of as many new templates, lines, or as long a silence, by chance
NEW_LINES: Final = 3.0  # lines: a kind that came once or twice may be a freak
SURGE_LINES: Final = 10.0  # lines: fewer are no surge, however unusual
SURGE_TIMES: Final = 3.0  # as often as usual at least: less is no surge to a human
STEADY: Final = 0.9  # the share of its earlier buckets in which a steady template had lines
SHOWN: Final = 120  # characters of a template

TEMPLATES = Gauge("watchkeeper_log_templates", "Kinds of log lines that are followed, of all services.")
UNREAD = Counter("watchkeeper_log_lines_unread_total", "Log lines over the limit of a read, which no template got.")
OVER = Counter("watchkeeper_log_templates_dropped_total", "Kinds of log lines over the limit, not followed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """What is unusual about one template: lines (or lines a second), since which column, and how surprising in nats."""

    what: Literal["new", "surge", "vanished"]
    row: int
    value: float
    expected: float
    column: int
    surprise: float


class LogTemplates:
    """New, surging and vanished kinds of log lines. Tickets.

    State: the miner, and counts of the last `BUCKETS` buckets.
    """

    version = VERSION
    needs = ("lines",)

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002 - nothing of it concerns log lines
        self._miner = TemplateMiner()
        self._rows: dict[tuple[str, int], int] = {}
        self._names: list[tuple[str, int]] = []
        self._lines: Floats = np.zeros((0, BUCKETS))
        self._born: npt.NDArray[np.int64] = np.zeros(0, np.int64)  # the bucket's start at which a row was first seen
        self._bad: Bools = np.zeros(0, np.bool_)
        self._newest = 0

    def read(self, table: pa.Table, newest: datetime, unread: int = 0) -> None:
        """Take the lines of buckets that are complete: bucket, service, severity, body, lines; `newest` is the last.

        `unread` lines were over the limit of the read.
        """
        if unread:
            UNREAD.inc(unread)
        self._advance(int(newest.timestamp()) // STEP_S * STEP_S)
        if table.num_rows:
            ids = self._miner.add_many(table["body"].to_pylist())
            starts = table["bucket"].cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_numpy()
            bad = np.isin(table["severity"].to_numpy(zero_copy_only=False), ("WARN", "ERROR", "FATAL"))
            rows = self._rows_of(table["service"].to_pylist(), ids, starts)
            column = BUCKETS - 1 - (self._newest - starts) // STEP_S
            inside = (rows >= 0) & (column >= 0) & (column < BUCKETS)
            np.add.at(self._lines, (rows[inside], column[inside]), table["lines"].to_numpy()[inside])
            self._bad[rows[inside]] |= bad[inside]
        self._merge()
        TEMPLATES.set(len(self._names))

    @staticmethod
    def example() -> Example:
        """A line that was never logged before, from now on for a while."""
        lines = {
            ("mail", "INFO", "sent #"): lambda _: 5.0,
            ("mail", "WARN", "queue of relay west is full"): lambda t: 1.0 if 900 <= t < 1500 else 0.0,
        }
        telemetry = Simulated(seconds=3000, lines=lines)
        return Example(telemetry=telemetry, begins_s=900, ends_s=1500, clears_within_s=1200)

    def judge(self, seen: Seen) -> list[Finding]:
        """Take new lines; tickets: at most one of each sort for a service, which names its clearest template."""
        if seen.lines:
            self.read(seen.lines.table, seen.lines.newest, seen.lines.unread)
        if not self._names:
            return []
        services, code = np.unique(np.array([service for service, _ in self._names]), return_inverse=True)
        by_service = by_group(code, self._lines)
        since = np.where((by_service > 0).any(axis=1), np.argmax(by_service > 0, axis=1), BUCKETS)
        findings = []
        for number, service in enumerate(services.tolist()):
            rows = np.flatnonzero(code == number)
            if BUCKETS - since[number] < KNOWN_FOR + RECENT:
                continue
            judged = (
                self._new(rows, int(since[number])),
                self._surge(rows, by_service[number], int(since[number])),
                self._vanished(rows, by_service[number], int(since[number])),
            )
            findings += [self._finding(service, news, seen.now) for news in judged if news is not None]
        return findings

    def _advance(self, newest: int) -> None:
        shift = (newest - self._newest) // STEP_S if self._newest else 0
        if self._newest and shift <= 0:
            return
        if shift:
            moved = np.zeros_like(self._lines)
            if shift < BUCKETS:
                moved[:, :-shift] = self._lines[:, shift:]
            self._lines = moved
        self._newest = newest

    def _rows_of(
        self, services: Sequence[str], ids: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        rows = np.empty(len(services), np.int64)
        born: list[int] = []
        for place, (service, template, start) in enumerate(zip(services, ids.tolist(), starts.tolist(), strict=True)):
            key = (service, template)
            row = self._rows.get(key)
            if row is None:
                if len(self._names) >= MOST_ROWS:
                    OVER.inc()
                    rows[place] = -1
                    continue
                row = self._rows[key] = len(self._names)
                self._names.append(key)
                born.append(start)
            rows[place] = row
        if born:
            self._lines = np.concatenate([self._lines, np.zeros((len(born), BUCKETS))])
            self._born = np.concatenate([self._born, np.array(born, np.int64)])
            self._bad = np.concatenate([self._bad, np.zeros(len(born), np.bool_)])
        return rows

    def _merge(self) -> None:
        """What later lines showed to be one template becomes one row; what nobody logged for long is let go."""
        new = [(service, self._miner.canonical_id(template)) for service, template in self._names]
        alive: Bools = np.asarray(self._lines.any(axis=1))
        if new == self._names and alive.all():
            return
        rows: dict[tuple[str, int], int] = {}
        for key, lives in zip(new, alive.tolist(), strict=True):
            if lives:
                rows.setdefault(key, len(rows))
        into = np.array([rows.get(key, -1) for key in new], np.int64)
        kept = into >= 0
        lines, bad = np.zeros((len(rows), BUCKETS)), np.zeros(len(rows), np.bool_)
        born = np.full(len(rows), np.iinfo(np.int64).max)
        np.add.at(lines, into[kept], self._lines[kept])
        np.logical_or.at(bad, into[kept], self._bad[kept])
        np.minimum.at(born, into[kept], self._born[kept])
        self._rows, self._names = rows, list(rows)
        self._lines, self._bad, self._born = lines, bad, born

    def _new(self, rows: npt.NDArray[np.int64], since: int) -> _News | None:
        """News: more new templates in the last buckets than the service's own rate of news makes likely."""
        age = (self._newest - self._born[rows]) // STEP_S
        first = BUCKETS - 1 - since  # the age of what was there when the service began
        fresh = rows[(age < RECENT) & (self._lines[rows].sum(axis=1) >= NEW_LINES)]
        # What came up in the first buckets was not new but unread.
        earlier = ((age >= RECENT) & (age < first - 2)).sum()
        expected = (earlier + 0.05) * RECENT / max(first - 2 - RECENT, 1)
        if fresh.size == 0 or pdtrc(fresh.size - 1, expected) > 10 * CHANCE + 0.02 * self._bad[fresh].any():
            return None
        weight = self._lines[fresh].sum(axis=1) * np.where(self._bad[fresh], 10.0, 1.0)
        row = int(fresh[np.argmax(weight)])
        column = BUCKETS - 1 - int((self._newest - self._born[row]) // STEP_S)
        return _News(
            what="new",
            row=row,
            value=float(self._lines[row].sum()),
            expected=0.0,
            column=max(column, 0),
            surprise=_nats(pdtrc(fresh.size - 1, expected)),
        )

    def _surge(self, rows: npt.NDArray[np.int64], service_lines: Floats, since: int) -> _News | None:
        """A template that is a far larger part of its service's lines than usual."""
        past = slice(since, BUCKETS - RECENT)
        usual_whole = max(service_lines[past].sum(), 1.0)
        share = self._lines[rows][:, past].sum(axis=1) / usual_whole
        recent = self._lines[rows][:, -RECENT // 2 :].sum(axis=1)
        expected = (share + 0.5 / usual_whole) * max(service_lines[-RECENT // 2 :].sum(), 1.0)
        # A service that logs bursts by itself has noisy buckets: its own noise widens what is expected.
        noisy = self._lines[rows][:, past]
        spread = noisy.var(axis=1) / np.maximum(noisy.mean(axis=1), 1e-9)
        widened = np.maximum(spread, 1.0)
        chance = pdtrc(np.maximum(recent / widened - 1.0, 0.0), np.maximum(expected / widened, 1e-9))
        old = (self._newest - self._born[rows]) // STEP_S >= RECENT
        raised = old & (recent >= SURGE_LINES) & (recent >= SURGE_TIMES * expected) & (chance < CHANCE)
        if not raised.any():
            return None
        best = int(np.flatnonzero(raised)[np.argmin(chance[raised])])
        per_s = 1.0 / (RECENT // 2 * STEP_S)
        return _News(
            what="surge",
            row=int(rows[best]),
            value=float(recent[best]) * per_s,
            expected=float(expected[best]) * per_s,
            column=BUCKETS - RECENT // 2,
            surprise=_nats(chance[best]),
        )

    def _vanished(self, rows: npt.NDArray[np.int64], service_lines: Floats, since: int) -> _News | None:
        """A steady template without a line, while its service goes on as before."""
        past = self._lines[rows][:, since : BUCKETS - GONE]
        usual = past.mean(axis=1)
        gone = self._lines[rows][:, -GONE:].sum(axis=1) == 0
        goes_on = service_lines[-GONE:].sum() / max(service_lines[since : BUCKETS - GONE].mean() * GONE, 1e-9)
        chance = pdtr(0, usual * GONE * min(goes_on, 1.0))
        raised = gone & ((past > 0).mean(axis=1) >= STEADY) & (chance < CHANCE) & (goes_on >= 0.5)
        if not raised.any():
            return None
        best = int(np.flatnonzero(raised)[np.argmax(usual[raised])])
        return _News(
            what="vanished",
            row=int(rows[best]),
            value=0.0,
            expected=float(usual[best]) / STEP_S,
            column=BUCKETS - GONE,
            surprise=_nats(chance[best]),
        )

    def _finding(self, service: str, news: _News, now: datetime) -> Finding:
        template = self._miner.template(self._names[news.row][1])[:SHOWN]
        onset = utc(float(self._newest - (BUCKETS - 1 - news.column) * STEP_S))
        match news.what:
            case "new":
                words = f"{service} logs something new, {news.value:.0f} times: {template}"
            case "surge":
                words = f"{service} logs {news.value:.1f} lines/s (usually {news.expected:.1f}/s) of: {template}"
            case "vanished":
                words = f"{service} no longer logs (usually {news.expected:.1f} lines/s): {template}"
        return Finding(
            detector=f"logs.{news.what}",
            detector_version=self.version,
            kind="log",
            service=service,
            summary=words,
            onset=min(onset, now),
            seen_at=now,
            score=float(to_probability(np.array(news.surprise))),
            severity="ticket",
            signal=template,
            value=news.value,
            expected=news.expected,
            unit="lines" if news.what == "new" else "lines/s",
            key=f"logs:{news.what}:{service}",
        )


def _nats(chance: float) -> float:
    return float(-np.log(max(float(chance), 1e-12)))
