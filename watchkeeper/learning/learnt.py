"""What labels have taught: thresholds and a classifier of findings, as plain data that runs nothing when loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from detectors.red import RedThresholds
from watchkeeper.errors import StateError
from watchkeeper.learning.features import NAMES, features, group
from watchkeeper.vocabulary import Finding

FORMAT: Final = 1
# Below this chance of being warranted a finding wakes nobody.
CUT: Final = 0.25
# Nothing is held back before this many false pages were labelled in its group or, borrowed, in its detector.
FALSE_BEFORE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is known of one detector on one service: its own intercept and what it was labelled."""

    intercept: float = 0.0
    right: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """One version's content.

    `weights` are of `features.NAMES`. `detectors` and `groups` hold intercepts that few labels pull only a little from
    zero (partial pooling); a group's key is `detector|service`. `strictness` goes to the detectors' own thresholds.
    """

    bias: float = 2.0
    weights: tuple[float, ...] = (0.0,) * len(NAMES)
    detectors: Mapping[str, Group] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    strictness: Mapping[str, float] = field(default_factory=dict)
    cut: float = CUT

    def probability(self, finding: Finding) -> float:
        """The chance that waking somebody for this finding is warranted."""
        detector, service = group(finding)
        own = self.groups.get(f"{detector}|{service}", Group())
        odds = self.bias + self.detectors.get(detector, Group()).intercept + own.intercept
        odds += sum(weight * value for weight, value in zip(self.weights, features(finding), strict=True))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, odds))))

    def pages(self, finding: Finding) -> bool:
        """Whether this version would wake somebody for the finding."""
        detector, service = group(finding)
        own = self.groups.get(f"{detector}|{service}", Group())
        borrowed = self.detectors.get(detector, Group())
        if own.wrong + 0.5 * (borrowed.wrong - own.wrong) < FALSE_BEFORE:
            return True
        return self.probability(finding) >= self.cut

    def why(self, finding: Finding) -> str:
        """One sentence on why the finding wakes nobody."""
        detector, service = group(finding)
        own = self.groups.get(f"{detector}|{service}", Group())
        borrowed = self.detectors.get(detector, Group())
        return (
            f"{detector} was wrong in {own.wrong} of {own.right + own.wrong} labelled findings on {service} "
            f"({borrowed.wrong} of {borrowed.right + borrowed.wrong} on all services), and this one looks like those: "
            f"a chance of {self.probability(finding):.0%} to be worth waking somebody"
        )

    def thresholds(self) -> RedThresholds:
        """What the detectors take from this version."""
        return RedThresholds(strictness=dict(self.strictness))

    def to_bytes(self) -> bytes:
        """The same content is the same bytes, so that a version is named by what it says."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Learnt:
        """Read a version's content; nothing in it is run.

        Raises:
            StateError: the content is not a model of this format.
        """
        try:
            tree: dict[str, Any] = json.loads(content)
            written_as = tree.pop("format")
            tree["weights"] = tuple(float(weight) for weight in tree["weights"])
            for name in ("detectors", "groups"):
                tree[name] = {key: Group(**value) for key, value in tree[name].items()}
            tree["strictness"] = {str(key): float(value) for key, value in tree["strictness"].items()}
            learnt = cls(**tree)
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"this is not a detector model of format {FORMAT}: {error}") from error
        if written_as != FORMAT or len(learnt.weights) != len(NAMES):
            raise StateError(f"this detector model has format {written_as!r}, not {FORMAT}: train again")
        numbers = [learnt.bias, learnt.cut, *learnt.weights, *learnt.strictness.values()]
        numbers += [one.intercept for part in (learnt.detectors, learnt.groups) for one in part.values()]
        if not all(math.isfinite(number) for number in numbers):
            raise StateError("this detector model holds numbers that are not finite")
        return learnt


BUILT_IN: Final = Learnt()
