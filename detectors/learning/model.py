"""What labels have taught: thresholds and a classifier of findings, as plain data that runs nothing when loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from detectors.learning.features import NAMES, evidence, extra, features, group
from watchkeeper.config import GuardConfig
from watchkeeper.errors import StateError
from watchkeeper.vocabulary import Finding

FORMAT: Final = 3
# Format 2 is the same, but for the names of the guard's fields.
OLD_GUARD: Final = {
    "alike": "similar",
    "alike_grave": "similar_severe",
    "grave_error_share": "severe_error_share",
    "grave_extra_ms": "severe_extra_ms",
}
# Below this chance of being warranted a finding may be suppressed. Of four such pages, at most one would be right.
CUT: Final = 0.25
# Below this chance a finding must show as much evidence as its detector's learned threshold on its service asks for.
DOUBTFUL: Final = 0.5
# What one source alone called false on another service counts so much.
BORROWED: Final = 2.0 / 3.0
# How much worse, or less excused, than an earlier false page a finding may be and still be like it. What users feel may
# be half as much again, and what nobody notices more: 30 ms, or 3 % of requests. The evidence is a ratio, the others
# are logarithms of one.
SIMILAR_AMOUNT: Final = 1.5
UNNOTICED: Final = 0.3
SIMILAR_EVIDENCE: Final = 2.0
SIMILAR_LOAD: Final = 0.4
SIMILAR_COMMON: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is known of one detector on one service: its own intercept and what it was labelled."""

    intercept: float = 0.0
    right: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FalsePage:
    """A finding of an incident that was judged false, as it was at its worst; `agreed` when both sources said so."""

    detector: str
    service: str
    incident_id: str
    evidence: float
    amount: float
    load: float
    common: float
    deployed: bool
    agreed: bool = False

    def covers(self, worst: float, numbers: Sequence[float]) -> bool:
        """Whether a finding is like this one: not much worse, and not much less excused by load or by a change.

        `worst` is the finding's evidence, `numbers` are its features.
        """
        amount, _, load, common, deployed = numbers
        return (
            worst <= self.evidence * SIMILAR_EVIDENCE
            and math.exp(amount) <= SIMILAR_AMOUNT * math.exp(self.amount) + UNNOTICED
            and load >= self.load - SIMILAR_LOAD
            and common >= self.common - SIMILAR_COMMON
            and (bool(deployed) or not self.deployed)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What must be there before anything is suppressed; see `watchkeeper.config.GuardConfig`."""

    similar: float
    similar_severe: float
    severe_error_share: float
    severe_extra_ms: float

    @classmethod
    def of(cls, config: GuardConfig) -> Guard:
        return cls(**config.model_dump())

    def is_severe(self, finding: Finding) -> bool:
        """Whether users feel it for certain."""
        if finding.kind == "silence":
            return True
        if finding.unit == "ms":
            return extra(finding) >= self.severe_extra_ms
        return finding.kind == "errors" and extra(finding) >= self.severe_error_share


DEFAULT_GUARD: Final = Guard.of(GuardConfig())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a finding pages, the chance that this is warranted, and, if it does not, why."""

    pages: bool
    chance: float
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedModel:
    """One version's content.

    `weights` are of `features.NAMES`. `detectors` and `groups` hold intercepts that few labels pull only a little from
    zero (partial pooling); a group's key is `detector|service`. `strictness` is how much evidence a page needs, in
    units of what raises a finding, by `detector|service`. `false_pages` are what a finding must be like to be
    suppressed.
    """

    bias: float = 2.0
    weights: tuple[float, ...] = (0.0,) * len(NAMES)
    detectors: Mapping[str, Group] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    strictness: Mapping[str, float] = field(default_factory=dict)
    false_pages: tuple[FalsePage, ...] = ()
    guard: Guard = DEFAULT_GUARD
    cut: float = CUT

    def probability(self, finding: Finding) -> float:
        """The chance that a page for this finding is warranted."""
        detector, service = group(finding)
        own = self.groups.get(f"{detector}|{service}", Group())
        odds = self.bias + self.detectors.get(detector, Group()).intercept + own.intercept
        odds += sum(weight * value for weight, value in zip(self.weights, features(finding).tolist(), strict=True))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds))))

    def pages(self, finding: Finding) -> bool:
        """Whether this version pages for the finding."""
        return self.decide(finding).pages

    def decide(self, finding: Finding) -> Decision:
        """Whether this version pages for the finding, and why not."""
        chance = self.probability(finding)
        severe = self.guard.is_severe(finding)
        similar = self.similar(finding) if chance < self.cut else {}
        # The sum of thirds is not exact: three times two thirds is two.
        if similar and sum(similar.values()) > (self.guard.similar_severe if severe else self.guard.similar) - 1e-6:
            return Decision(pages=False, chance=chance, why=self._similar_to_false_pages(finding, similar, chance))
        if chance < DOUBTFUL and not severe and (why := self._below_threshold(finding)):
            return Decision(pages=False, chance=chance, why=why)
        return Decision(pages=True, chance=chance)

    def similar(self, finding: Finding) -> dict[str, float]:
        """The incidents judged false that had a finding like this one, and how much each counts.

        On another service by one source alone, `BORROWED`: one wrong label must not do.
        """
        weights: dict[str, float] = {}
        worst, numbers = evidence(finding), features(finding).tolist()
        for one in self.false_pages:
            if one.detector == finding.detector and one.covers(worst, numbers):
                weight = 1.0 if one.agreed or one.service == finding.service else BORROWED
                weights[one.incident_id] = max(weights.get(one.incident_id, 0.0), weight)
        return weights

    def _below_threshold(self, finding: Finding) -> str:
        detector, service = group(finding)
        needed = self.strictness.get(f"{detector}|{service}", 1.0)
        reached = evidence(finding)
        if reached >= needed:
            return ""
        return (
            f"its evidence is {reached:.1f} times what raises a finding, and labels taught that {detector} on "
            f"{service} needs {needed:.1f} times; it pages if the evidence grows"
        )

    def _similar_to_false_pages(self, finding: Finding, similar: Mapping[str, float], chance: float) -> str:
        detector, service = group(finding)
        own = self.groups.get(f"{detector}|{service}", Group())
        here = len({o.incident_id for o in self.false_pages if o.service == service and o.incident_id in similar})
        elsewhere = len(similar) - here
        where = " and ".join(
            words for count, words in ((here, f"{here} here"), (elsewhere, f"{elsewhere} on other services")) if count
        )
        judged = own.right + own.wrong
        record = f"was right {own.right} of {judged} times on {service}" if judged else f"was never judged on {service}"
        return (
            f"it is similar to findings of {len(similar)} incidents that were judged false ({where}: "
            f"{', '.join([*similar][-3:])}); {detector} {record}; the chance that a page is warranted is "
            f"{chance:.0%}"
        )

    def to_bytes(self) -> bytes:
        """The same content is the same bytes, so that a version is named by what it says."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> LearnedModel:
        """Read a version's content; nothing in it is run.

        Raises:
            StateError: the content is not a model of this format.
        """
        try:
            tree: dict[str, Any] = json.loads(content)
            written_as = tree.pop("format")
            if written_as == FORMAT - 1:
                tree["guard"] = {OLD_GUARD[key]: value for key, value in tree["guard"].items()}
            elif written_as != FORMAT:
                raise StateError(f"this detector model has format {written_as!r}, not {FORMAT}: train again")
            tree["weights"] = tuple(float(weight) for weight in tree["weights"])
            for name in ("detectors", "groups"):
                tree[name] = {key: Group(**value) for key, value in tree[name].items()}
            tree["strictness"] = {str(key): float(value) for key, value in tree["strictness"].items()}
            tree["false_pages"] = tuple(FalsePage(**one) for one in tree["false_pages"])
            tree["guard"] = Guard(**tree["guard"])
            learned = cls(**tree)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(f"this is not a detector model of format {FORMAT}: {error}") from error
        if len(learned.weights) != len(NAMES):
            raise StateError(f"this detector model has {len(learned.weights)} weights, not {len(NAMES)}: train again")
        numbers = [learned.bias, learned.cut, *learned.weights, *learned.strictness.values()]
        numbers += asdict(learned.guard).values()
        numbers += [one.intercept for part in (learned.detectors, learned.groups) for one in part.values()]
        numbers += [n for one in learned.false_pages for n in (one.evidence, one.amount, one.load, one.common)]
        if not all(math.isfinite(number) for number in numbers):
            raise StateError("this detector model holds numbers that are not finite")
        return learned


BUILT_IN: Final = LearnedModel()
