"""The words that the packages share. Each is defined here once and explained in docs/glossary.md.

Everything that crosses a folder is one of these frozen values. A value that exists is valid: times
are aware and UTC, scores are 0 to 1 (1 is worse), and required text is not empty. Names of services and
what they do are foreign and kept as they came, even blank ones; sentences are one printable line.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from watchkeeper.text import one_line, prose

FindingKind = Literal["latency", "errors", "traffic", "silence", "metric", "log", "topology", "slo", "drift", "alert"]
Mechanism = Literal[
    "latency", "errors", "killed", "hung", "cpu", "memory", "database", "network", "deploy", "traffic", "unknown"
]
Severity = Literal["page", "ticket", "detail"]  # most severe first
Level = Literal["SEV1", "SEV2", "SEV3", "SEV4"]  # most severe first
ChangeKind = Literal["deploy", "restart", "flag", "config", "commit"]
LabelSource = Literal["chaos", "human"]
ReadinessStage = Literal["learning", "level", "ready"]

MECHANISMS: tuple[Mechanism, ...] = (
    "latency",
    "errors",
    "killed",
    "hung",
    "cpu",
    "memory",
    "database",
    "network",
    "deploy",
    "traffic",
    "unknown",
)

LEVELS: tuple[Level, ...] = ("SEV1", "SEV2", "SEV3", "SEV4")

LONGEST_SENTENCE: Final = 2400
# The detector of the alert that Watchkeeper raises for itself, the person whom it pages, and what its incident counts
# as in place of a severity: no human sees it, and nothing is learned from it.
CANARY: Final = "canary"


def level_named(text: str) -> Level | None:
    """The level that a text names, in letters of either case; None where it names none."""
    return next((level for level in LEVELS if level == text.upper()), None)


def require_utc(name: str, at: datetime) -> None:
    """Raise ValueError unless `at` is aware and UTC."""
    if at.tzinfo is None or at.utcoffset() != timedelta(0):
        raise ValueError(f"{name} must be an aware UTC time, not {at!r}")


def require_score(name: str, score: float) -> None:
    """Raise ValueError unless `score` is a number from 0 to 1."""
    if not 0.0 <= score <= 1.0:  # NaN fails this too
        raise ValueError(f"{name} must be from 0 to 1, not {score!r}")


def require_text(name: str, text: str) -> None:
    """Raise ValueError if `text` is blank."""
    if not text.strip():
        raise ValueError(f"{name} must not be empty")


def content_key(*parts: str) -> str:
    """Name a value by its content: the same parts give the same 16 hex digits, everywhere."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A half-open span of time, [start, end)."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        require_utc("Window.start", self.start)
        require_utc("Window.end", self.end)
        if self.end <= self.start:
            raise ValueError(f"a window must end after it starts: {self.start} to {self.end}")

    @classmethod
    def last(cls, seconds: float, *, until: datetime) -> Window:
        """The `seconds` that end at `until`."""
        return cls(start=until - timedelta(seconds=seconds), end=until)

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()

    def parts(self, seconds: float) -> Iterator[Window]:
        """The window in pieces of at most `seconds`, oldest first, for what is too much to read at once."""
        start = self.start
        while start < self.end:
            end = min(start + timedelta(seconds=seconds), self.end)
            yield Window(start=start, end=end)
            start = end


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """Why a finding does not page, by which version of the detectors' model. It is a ticket while this stands."""

    reason: str
    model_version: str

    def __post_init__(self) -> None:
        require_text("Suppression.reason", self.reason)
        object.__setattr__(self, "reason", prose(self.reason, LONGEST_SENTENCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """What a finding has come to since it began to fire.

    Attributes:
        peak_score: the highest score.
        peak_value: the highest value, in the finding's unit.
        deployed_s: seconds from the newest change of its service to the onset; None without one.
    """

    peak_score: float
    peak_value: float | None = None
    deployed_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What may excuse a finding: both are ratios, 1 is usual.

    Attributes:
        load: the service's traffic over its usual traffic.
        slowdown: the latency over the usual one that all services have in common.

    A ratio that cannot be known (of nothing to nothing) counts as usual.
    """

    load: float = 1.0
    slowdown: float = 1.0

    def __post_init__(self) -> None:
        for name in ("load", "slowdown"):
            ratio = getattr(self, name)
            if not (math.isfinite(ratio) and ratio > 0.0):
                object.__setattr__(self, name, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDetails:
    """What another system says of its alert. `truncated` alerts of its group were cut off by the sender."""

    name: str
    labels: str = ""
    url: str = ""
    runbook_url: str = ""
    truncated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a detector noticed about one service.

    `key` names the thing noticed (not the moment): a detector that sees it again at the next tick
    reports the same key. `score` is 0 to 1, higher is more anomalous. `onset` is the first bad time
    and `seen_at` the time of the judgement. A finding with severity "ticket" never pages; one with "detail" opens no
    incident either, and is folded where it joins one.
    `conditions` come from its detector; `episode` and `suppression` are added by learning; `alert` is
    what another system says of its own alert.
    """

    detector: str
    detector_version: str
    kind: FindingKind
    service: str
    summary: str
    onset: datetime
    seen_at: datetime
    score: float
    severity: Severity = "page"
    operation: str | None = None
    signal: str = ""
    value: float | None = None
    expected: float | None = None
    unit: str = ""
    conditions: Conditions | None = None
    episode: Episode | None = None
    suppression: Suppression | None = None
    alert: AlertDetails | None = None
    key: str = ""

    def __post_init__(self) -> None:
        for name in ("detector", "detector_version", "summary"):
            require_text(f"Finding.{name}", getattr(self, name))
        object.__setattr__(self, "summary", prose(self.summary, LONGEST_SENTENCE))
        require_utc("Finding.onset", self.onset)
        require_utc("Finding.seen_at", self.seen_at)
        require_score("Finding.score", self.score)
        if not self.key:
            key = content_key(self.detector, self.kind, self.service, self.operation or "", self.signal)
            object.__setattr__(self, "key", key)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNotice:
    """What somebody else's rules say of one alert: that it fires, or that it is resolved.

    `started` names the episode: the sender's start time, None where it gave none. `ends_at` is when a firing alert ends
    unless it is repeated, None where the sender did not say.
    """

    finding: Finding
    resolved: bool
    started: datetime | None = None
    ends_at: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("started", "ends_at"):
            at = getattr(self, name)
            if at is not None:
                require_utc(f"AlertNotice.{name}", at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How far the detectors have learned one service, and why no further.

    Attributes:
        stage: `learning`: nothing is judged yet; `level`: requests, failures and latency are judged against a level,
            what needs more history is not; `ready`: everything that its telemetry allows.
        reason: one line for a human.
    """

    service: str
    stage: ReadinessStage
    reason: str

    def __post_init__(self) -> None:
        require_text("reason", self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One reason for or against a suspect: `weight` is what it adds to the suspect's score.

    `kind` is that of the term, as the kind of evidence declares it. `strength` is the weight without the factor that
    was in force for this kind, None where an older version stored it. `sentence` is what a human reads. `signal` names
    what to plot (for example `latency`, `errors`, a metric's name or a log template).
    """

    kind: str
    weight: float
    sentence: str
    signal: str = ""
    value: float | None = None
    expected: float | None = None
    unit: str = ""
    strength: float | None = None

    def __post_init__(self) -> None:
        require_text("Evidence.kind", self.kind)
        require_text("Evidence.sentence", self.sentence)
        object.__setattr__(self, "sentence", prose(self.sentence, LONGEST_SENTENCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A service (instance, operation, metric, commit) that may have caused an incident.

    `score` is the sum of its evidence's weights, in the engine's own units: compare it only
    within one diagnosis. `probability` is calibrated, 0 to 1.
    """

    service: str
    score: float
    probability: float
    mechanism: Mechanism = "unknown"
    instance: str | None = None
    operation: str | None = None
    metric: str | None = None
    change_id: str | None = None
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        require_score("Suspect.probability", self.probability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What the RCA engine says of one window: ranked suspects, best first, or an abstention.

    `abstained` is true when no suspect deserves to be named as the cause; `reason` then says why,
    and the suspects, if any, are leads rather than answers. `notes` name what could not be taken into account.
    """

    onset: datetime
    made_at: datetime
    suspects: tuple[Suspect, ...]
    abstained: bool
    reason: str
    engine_version: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_utc("Diagnosis.onset", self.onset)
        require_utc("Diagnosis.made_at", self.made_at)
        require_text("Diagnosis.reason", self.reason)
        object.__setattr__(self, "reason", prose(self.reason, LONGEST_SENTENCE))
        object.__setattr__(self, "notes", tuple(prose(note, LONGEST_SENTENCE) for note in self.notes))


FIRST_SUSPECTS: Final = 3  # what a page, a message and a list show of a diagnosis
NOTICEABLE_WEIGHT: Final = 0.1  # evidence that adds less to a score comes and goes with every reading
NOTICEABLE_CHANCE: Final = 0.1  # the chance is shown in tenths


def is_news(later: Diagnosis, earlier: Diagnosis | None) -> bool:
    """Whether a later diagnosis of an incident takes the place of an earlier one.

    It does where a human would read something else of its first suspects: others or in another order, another
    mechanism, instance, operation, metric or change, evidence of a kind that was not there, or a chance that moved by a
    tenth; or where it names a cause and the earlier one did not, or the other way around.
    """
    if earlier is None or later.abstained != earlier.abstained:
        return True
    first, before = later.suspects[:FIRST_SUSPECTS], earlier.suspects[:FIRST_SUSPECTS]
    if [_named(suspect) for suspect in first] != [_named(suspect) for suspect in before]:
        return True
    for suspect, known in zip(first, before, strict=True):
        if _noticeable(suspect) - _noticeable(known):
            return True
        if abs(suspect.probability - known.probability) >= NOTICEABLE_CHANCE:
            return True
    return not first and later.reason != earlier.reason


def _named(suspect: Suspect) -> tuple[str | None, ...]:
    return (
        suspect.service,
        suspect.mechanism,
        suspect.instance,
        suspect.operation,
        suspect.metric,
        suspect.change_id,
    )


def _noticeable(suspect: Suspect) -> set[str]:
    return {evidence.kind for evidence in suspect.evidence if abs(evidence.weight) >= NOTICEABLE_WEIGHT}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvent:
    """Somebody changed something: a deploy, a restart, a flag, a configuration, a commit."""

    id: str
    at: datetime
    kind: ChangeKind
    service: str
    title: str
    version: str = ""
    author: str = ""
    url: str = ""
    files: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("id", "service", "title"):
            require_text(f"ChangeEvent.{name}", getattr(self, name))
        require_utc("ChangeEvent.at", self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did something, and from where (`slack`, `dashboard`, `cli`, `api`, `system`)."""

    name: str
    via: str

    def __post_init__(self) -> None:
        require_text("Actor.via", self.via)
        object.__setattr__(self, "name", one_line(self.name, 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A judgement of one incident. Chaos truth and human judgement are never mixed.

    `cause` is the service at fault, None when there was none (a false page) or it is unknown.
    `warranted` says whether the page was right. `model_version` names what was judged.
    """

    id: str
    incident_id: str
    source: LabelSource
    author: str
    at: datetime
    warranted: bool | None
    cause: str | None = None
    mechanism: Mechanism | None = None
    model_version: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("id", "incident_id", "author"):
            require_text(f"Label.{name}", getattr(self, name))
        require_utc("Label.at", self.at)


def supersedes(later: Label, label: Label) -> bool:
    """Whether a label takes another's place: whoever judges an incident again has one judgement of it, the later."""
    return (later.source, later.incident_id, later.author) == (label.source, label.incident_id, label.author)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A runbook that the machine proposes for an incident; a human approves it, or does not.

    `steps` are what a human reads, `actions` the steps' names that a run takes, `program` what else a run needs to know
    of them. `blocked` says why it cannot be run from here: then it is advice, and nobody is asked to approve it.
    `proof` is what experiments have shown of this runbook, in one line. `approvals` is how many people must approve it,
    and `approvers` who may (people, or schedules for whoever is on call; empty: everybody). `id` names the content by
    which somebody approves: another runbook, service, step, input or argument is another id.
    """

    runbook: str
    title: str
    service: str
    steps: tuple[str, ...]
    blast_radius: str
    undo: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    program: str = ""
    blocked: str = ""
    proof: str = ""
    approvals: int = 1
    approvers: tuple[str, ...] = ()
    id: str = ""

    def __post_init__(self) -> None:
        # Never as given: an id that is not its content's would let a human approve what they did not see.
        seen = [self.runbook, self.title, self.service, self.steps, self.blast_radius, self.undo, self.actions]
        content = json.dumps([*seen, sorted(self.arguments.items()), *([self.program] if self.program else [])])
        object.__setattr__(self, "id", content_key("proposal", content))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the run of a runbook asks a human; it waits for one of `choices`.

    `step` is the number of the step, and `asked` how often it has asked by now. Choices in `confirm` are asked about
    once more before they count. The time to answer ends at `until`; then `unanswered` counts as the answer, and where
    that is empty the run turns back. `answerers` may answer (as `Proposal.approvers`). `id` names the content: whoever
    answers names the question that they saw.
    """

    run: str
    step: int
    asked: int
    text: str
    choices: tuple[str, ...]
    confirm: tuple[str, ...] = ()
    until: datetime | None = None
    unanswered: str = ""
    answerers: tuple[str, ...] = ()
    id: str = ""

    def __post_init__(self) -> None:
        seen = json.dumps([self.run, self.step, self.asked, self.text, self.choices])
        object.__setattr__(self, "id", content_key("question", seen))

    def command(self, choice: str) -> str:
        """The command that answers it."""
        return f"watchkeeper runbook answer {self.run} {choice} --question {self.id}"

    @property
    def asks(self) -> str:
        """The question, and how to answer it without a button."""
        ways = " or ".join(f"`{self.command(choice)}`" for choice in self.choices)
        return f"The runbook asks: {self.text} Answer with {ways}"

    @property
    def otherwise(self) -> str:
        """What happens if nobody answers in time."""
        return f"it goes on as if the answer were {self.unanswered}" if self.unanswered else "the run turns back"


def utc(epoch_seconds: float) -> datetime:
    """The aware UTC time of a Unix time in seconds."""
    return datetime.fromtimestamp(epoch_seconds, UTC)


def utc_ns(epoch_ns: int) -> datetime:
    """The aware UTC time of a Unix time in nanoseconds, to the microsecond before it."""
    return utc(epoch_ns // 10**9).replace(microsecond=epoch_ns // 1000 % 10**6)
