"""Which commit, if any: where it is, whether the complaints are about it, what it took away, when it went live.

Five signs of the same weight, for a rule that fits few examples too well fails on the next: the commit belongs to a
service that complains or that such a service depends on; it touches the words of the complaints; it removed code
without putting it back; what it removed is complained of, or guards against such a fault; it went live shortly before
the onset. Documentation, tests and styles cannot be the cause; nor can what went live after the onset. Complaints about
machines, platforms and external services are evidence against every commit. A text heuristic: it fails where the
complaint and the code share no words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rca.case import Case
from rca.complaint_words import ELSEWHERE, linked, stems
from rca.evidence_kind import NO_COMMIT, EvidenceKind
from rca.example_cases import commit_case
from rca.terms import Term, clock
from watchkeeper.durations import duration
from watchkeeper.vocabulary import ChangeEvent

HARMLESS = re.compile(
    r"(^|/)(docs?|documentation|tests?|testdata|fixtures|__tests__)/|_test\.|\.test\.|test_|"
    r"\.(md|rst|txt|css|scss|svg|png|golden)$|"
    r"(^|/)(readme|changelog|license|codeowners|\.github|\.golangci|\.editorconfig)|\.lock$|\.sum$",
    re.IGNORECASE,
)
DEPENDENCIES = re.compile(
    r"(^|/)(go\.mod|go\.sum|package(-lock)?\.json|requirements[^/]*\.txt|pom\.xml|build\.gradle|cargo\.toml)$",
    re.IGNORECASE,
)
# By judgement. How much a deploy before the onset counts: code waits for its rare path longer than a deploy does.
HALF_LIFE_S = 1800.0
ALERT_WORD = 2.0  # what a word of the alert counts: as much as one in six or seven log lines (log1p)
MOST_RARE = 3.0  # nats: a word in one of twenty commits; rarer ones say no more
SAFEGUARDS = 2.0  # removed safeguards that are taken for certain
HALF_OF_COMPLAINTS = 2.0  # a commit that removed half of what is complained of is taken for certain
DEPENDENCY_FILE = 0.7  # how harmless a change of versions alone is: a new version of a library can hurt
DEPENDED_ON = 0.5  # how far a commit to what a complaining service calls belongs to it
# Lines that do nothing to the requests: comments, imports, messages.
IDLE_LINE = re.compile(
    r"^\s*(//|#|\*|/\*|--|import\b|from\b.*\bimport\b|using\b|use\b|package\b|include\b|$)|"
    r"\b(log|logger|logging|console|print|printf|println|fmt\.print\w*|log_\w+|slog)\b[\w.]*\s*\(",
    re.IGNORECASE,
)
TOKEN = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?")
LOST_HALF_AT = 3.0  # tokens that are gone for good, at which the loss is believed by half


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaints:
    """Stems of the complaints with their weight, and the services that complain."""

    words: Mapping[str, float]
    services: frozenset[str]
    depended_on: frozenset[str]  # what those services call, directly or not
    elsewhere: float  # share of the complaints about what no commit changes
    text: str  # all that was complained, in small letters


def complaints(case: Case, alert_texts: Sequence[str] = ()) -> Complaints:
    """The words of log lines that grew since the onset, and of the alert."""
    words: dict[str, float] = {}
    services: set[str] = set()
    elsewhere = total = 0.0
    quotes = list(alert_texts)
    lines = case.logs
    if lines is not None:
        seconds = max(case.end - case.onset, 1.0)
        for node, severity, before, after, sample in zip(
            lines.node, lines.severity, lines.before, lines.after, lines.sample, strict=True
        ):
            grown = after - before * seconds
            if grown <= 0 or str(severity).upper() in ("INFO", "DEBUG", "TRACE", "UNSET"):
                continue
            weight = math.log1p(grown)
            total += weight
            quotes.append(str(sample))
            services.add(str(node))
            if ELSEWHERE.search(f"{node} {sample}"):
                elsewhere += weight
            for word in stems(str(sample)):
                words[word] = max(weight, words.get(word, 0.0))
    for text in alert_texts:
        for word in stems(text):
            words[word] = max(ALERT_WORD, words.get(word, 0.0))
    services |= set(case.alerts)
    return Complaints(
        words=words,
        services=frozenset(services),
        depended_on=frozenset[str]().union(*map(case.reachable, services)) - services,
        elsewhere=elsewhere / total if total else 0.0,
        text=" ".join(quotes).lower(),
    )


def code_change(case: Case) -> list[Term]:
    """Which commit removed or touched what the complaints are about.

    Terms on commits and on `none`: the candidates are commit ids, not services.
    """
    commits = [change for change in case.changes if change.kind == "commit"]
    if not commits:
        return []
    complained = complaints(case, case.alert_texts)
    spread = Counter(word for change in commits for word in set(stems(_text(change))))
    rare = {word: math.log((len(commits) + 1) / (count + 0.5)) for word, count in spread.items()}
    terms: list[Term] = []
    for change in commits:
        terms += _terms(case, change, complained, rare)
    terms.append(
        Term(
            kind="not a commit",
            candidate=NO_COMMIT,
            strength=1.0,
            sentence="most incidents are not caused by a commit",
        )
    )
    terms.append(
        Term(
            kind="commit elsewhere",
            candidate=NO_COMMIT,
            strength=complained.elsewhere,
            sentence=f"{complained.elsewhere:.0%} of the complaints are about machines, platforms or external services",
        )
    )
    return terms


def _text(change: ChangeEvent) -> str:
    return f"{change.title} {' '.join(change.files)} {change.attributes.get('diff', '')}"


def _terms(case: Case, change: ChangeEvent, complained: Complaints, rare: Mapping[str, float]) -> list[Term]:
    diff = change.attributes.get("diff", "")
    words, safeguards = frozenset(stems(_text(change))), linked(complained.words)
    lost = _lost(diff)
    total = (
        sum(weight * min(rare.get(word, 0.0), MOST_RARE) for word, weight in complained.words.items() if word in rare)
        or 1.0
    )

    def overlap(with_words: frozenset[str]) -> float:
        common = sorted(with_words & set(complained.words))  # sets have another order in every process
        return sum(complained.words[word] * min(rare.get(word, 0.0), MOST_RARE) for word in common) / total

    touched = 1.0 if _is_quoted(change, complained) else overlap(words)
    guards = max(min(overlap(lost) * HALF_OF_COMPLAINTS, 1.0), min(len(lost & safeguards) / SAFEGUARDS, 1.0))
    deployed = _live_at(case, change)
    live = deployed if deployed is not None else change.at.timestamp()
    ahead = case.onset - live
    name, stems_complained = change.id[:8], set(complained.words)
    fresh = 0.5 ** (ahead / HALF_LIFE_S) if deployed is not None and ahead >= 0 else 0.0
    touched_words = _quote(words & stems_complained, complained, rare)
    removed_words = ", ".join(sorted(lost & (safeguards | stems_complained))[:5])
    rows = [
        ("commit words", touched, f"{name} touches what the complaints are about: {touched_words}"),
        ("commit removed", _loss(diff), f"{name} removed code and did not put it back"),
        ("commit safeguard", guards, f"{name} removed what is missed, or guards against such a fault: {removed_words}"),
        ("commit live", fresh, f"{name} went live {duration(max(ahead, 0.0))} before the onset"),
        ("commit service", _belongs(change, complained), f"{name} belongs to a service that complains"),
        ("commit too late", float(ahead < 0), f"{name} came at {clock(live)}, after the onset"),
        ("commit harmless", _harmless(change), f"{name} changes only documentation, tests, styles or versions"),
    ]
    return [
        Term(
            kind=kind, candidate=change.id, strength=strength, sentence=sentence, signal="changes", change_id=change.id
        )
        for kind, strength, sentence in rows
        if strength > 0.0
    ]


def _live_at(case: Case, change: ChangeEvent) -> float | None:
    """When the commit went live: by its own deploy, or by one that took in a new version of its folder."""
    if "live_at" in change.attributes:
        return float(change.attributes["live_at"])
    folders = {name.rsplit("/", 2)[0] for name in change.files if name.count("/") >= 2}
    for other in case.changes:
        if "live_at" not in other.attributes or other.at < change.at or not any(map(DEPENDENCIES.search, other.files)):
            continue
        if any(folder in other.attributes.get("diff", "") for folder in folders):
            return float(other.attributes["live_at"])
    return None


def _lost(diff: str) -> frozenset[str]:
    """Stems in removed lines that no added line has."""
    removed = " ".join(line[1:] for line in diff.splitlines() if line.startswith("-") and not line.startswith("---"))
    added = " ".join(line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++"))
    return frozenset(stems(removed)) - frozenset(stems(added))


def _harmless(change: ChangeEvent) -> float:
    if not change.files:
        return 0.0
    harmless = sum(
        1.0 if HARMLESS.search(name) else DEPENDENCY_FILE if DEPENDENCIES.search(name) else 0.0 for name in change.files
    )
    return harmless / len(change.files)


def _loss(diff: str) -> float:
    """The share of the removed code's names and numbers that are gone for good, 0 to 1; few of them prove little."""
    removed, added = (
        {
            token
            for line in diff.splitlines()
            if line.startswith(sign) and not line.startswith(3 * sign) and not IDLE_LINE.search(line[1:])
            for token in TOKEN.findall(line)
        }
        for sign in "-+"
    )
    lost = len(removed - added)
    return lost / len(removed) * lost / (lost + LOST_HALF_AT) if lost else 0.0


def _is_quoted(change: ChangeEvent, complained: Complaints) -> bool:
    """A complaint, such as a stack trace, names one of the commit's files."""
    names = (name.rsplit("/", 1)[-1] for name in change.files)
    return any("." in name and name.lower() in complained.text for name in names)


def _belongs(change: ChangeEvent, complained: Complaints) -> float:
    """The commit was deployed to a complaining service, or one of its files lies in a folder of its name."""
    folders = {stem for name in change.files for stem in stems(name.rsplit("/", 1)[0])}

    def owns(service: str) -> bool:
        own = set(stems(service))
        return change.service == service or bool(own and own <= folders)

    if any(map(owns, complained.services)):
        return 1.0
    return DEPENDED_ON if any(map(owns, complained.depended_on)) else 0.0


def _quote(words: frozenset[str], complained: Complaints, rare: Mapping[str, float]) -> str:
    best = sorted(words, key=lambda word: (-complained.words.get(word, 0.0) * rare.get(word, 0.0), word))
    return ", ".join(best[:5])


CODE_CHANGE = EvidenceKind(
    explain=code_change,
    weights={
        "commit words": 1.0,
        "commit removed": 1.0,
        "commit safeguard": 1.0,
        "commit live": 1.0,
        "commit service": 1.0,
        "commit too late": -5.0,
        "commit harmless": -2.0,
        "commit elsewhere": 2.0,
        "not a commit": 2.0,  # two signs of five: fewer accuse nobody
    },
    needs=frozenset({"changes"}),
    subject="commit",
    example=commit_case,
    offline="change events that reach a running installation carry no diff to compare with complaints",
)
