"""The severity level of what fires, SEV1 to SEV4: by the first rule that fits, else by what it is. Pure.

A level also decides on urgency: what has one of `oncall.severities.without_page` is a ticket, what has another pages.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from alerting.oncall.chain import why_it_fits
from watchkeeper.config import OnCallConfig
from watchkeeper.vocabulary import CANARY, LEVELS, Finding, Level, Severity

# Kinds of findings that users feel: their requests fail, are slow, or stay away.
FELT: Final = frozenset({"errors", "latency", "silence", "slo"})

LONGEST_REASON: Final = 1000  # characters of why somebody raises or lowers it
# What people choose from, as forms and dialogs show it.
WHAT_EACH_IS: Final[tuple[tuple[Level, str], ...]] = (
    ("SEV1", "SEV1: most users cannot do what they came for"),
    ("SEV2", "SEV2: some users, or one important function"),
    ("SEV3", "SEV3: degraded, and few users notice"),
    ("SEV4", "SEV4: nobody notices yet"),
)


def default_level(finding: Finding) -> Level | None:
    """The level of a finding that no rule fits: SEV2 if it pages for what users feel. A detail has none."""
    match finding.severity:
        case "page":
            return "SEV2" if finding.kind in FELT else "SEV3"
        case "ticket":
            return "SEV4"
    return None


def more_severe(*levels: Level | None) -> Level | None:
    """The most severe of some levels; None where there is none."""
    return min((level for level in levels if level), key=LEVELS.index, default=None)


def level_of(oncall: OnCallConfig, finding: Finding) -> Level | None:
    """The level of a finding. A detail, and Watchkeeper's own alert, are no matter of rules."""
    if finding.severity == "detail" or finding.detector == CANARY:
        return default_level(finding)
    labels = (finding.alert.labels,) if finding.alert else ()
    for rule in oncall.severities.rules:
        if rule.users_feel not in (None, finding.kind in FELT):
            continue
        if why_it_fits(oncall, rule, finding.service, labels) is not None:
            return rule.severity
    return default_level(finding)


def pages(oncall: OnCallConfig, level: Level) -> bool:
    """Whether incidents of a level page somebody."""
    return level not in oncall.severities.without_page


def decides_urgency(oncall: OnCallConfig) -> bool:
    """Whether any level may make another of a finding than its detector or sender did."""
    return bool(oncall.severities.rules) or set(oncall.severities.without_page) != {"SEV4"}


def with_urgency(oncall: OnCallConfig, finding: Finding, level: Level | None) -> Finding:
    """A finding as its level has it, a page or a ticket; the same value where that changes nothing."""
    if level is None or finding.severity == "detail" or finding.detector == CANARY:
        return finding
    wanted: Severity = "page" if pages(oncall, level) else "ticket"
    return finding if finding.severity == wanted else replace(finding, severity=wanted)
