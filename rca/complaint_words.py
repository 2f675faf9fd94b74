"""Words of code changes and of complaints: split, stemmed, and linked where both are about the same fault."""

from __future__ import annotations

import re
from collections.abc import Iterable

PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d{3,}")
SUFFIXES = ("ations", "ation", "ings", "ing", "iers", "ier", "ies", "ors", "ers", "er", "ed", "es", "s", "y", "e")
STOP = frozenset(  # frequent words without information, as stems
    [
        "the",
        "and",
        "for",
        "with",
        "from",
        "that",
        "this",
        "not",
        "into",
        "was",
        "are",
        "has",
        "out",
        "its",
        "use",
        "new",
        "per",
        "err",
        "nil",
        "null",
        "none",
        "return",
        "func",
        "def",
        "self",
        "var",
        "let",
        "const",
        "string",
        "int",
        "bool",
        "float",
        "true",
        "false",
        "type",
        "struct",
        "class",
        "import",
        "package",
        "error",
        "fail",
        "service",
        "svc",
        "request",
        "req",
        "resp",
        "response",
        "handl",
        "http",
        "get",
        "set",
        "log",
        "logg",
        "debug",
        "info",
        "print",
        "ctx",
        "context",
        "fmt",
        "test",
        "above",
        "below",
        "rat",
        "ratio",
        "num",
        "numb",
        "valu",
        "nam",
        "data",
        "over",
        "under",
        "see",
        "case",
        "else",
        "range",
    ]
)

# A symptom in a complaint (left) and the code that prevents it (right): a change on the right explains the left.
LINKS: tuple[tuple[str, str], ...] = (
    ("concurrent race deadlock corrupt", "mutex lock unlock sync atomic mu synchronized"),
    (
        "timeout deadline exceeded stall slow latency",
        "timeout deadline retry backoff attempts delay wait pool index cache batch limit",
    ),
    ("throttle throughput capacity quota 429", "batch bulk chunk limit rate retry backoff cache single"),
    ("expired skew unauthorized 401 token signature", "leeway expiry clock exp ttl tolerance"),
    (
        "deserialize unmarshal decode parse missing required schema invalid",
        "schema json field rename envelope proto decode marshal tag",
    ),
    ("oom memory heap killed", "cache buffer pool leak close release limit unbounded"),
    ("connections connection exhausted refused pool", "pool close max conn idle release"),
    ("null nil undefined panic pointer", "nil null optional default check guard"),
    ("disk space full", "rotate retention ttl cleanup compact"),
    ("locked busy conflict", "transaction lock commit isolation retry"),
)

# Complaints about what no commit of this system changes: the machine, the platform, names and certificates that others
# hand out, another company's service. What reads wrong data is left out: a commit may have made it.
ELSEWHERE = re.compile(
    r"kubelet|cgroup|\bevict|\bpreempt|\bnode\b.*(pressure|contend|contention|load|not ?ready|drain)|"
    r"runqueue|hypervisor|noisy neighbou?r|hardware|disk failure|availability zone|control plane|"
    r"(zone|region)\b.*(outage|unavailable)|"
    r"certificate (has )?expired|expired certificate|\bdns\b|nxdomain|no such host|"
    r"https?://[^\s/]+\.[a-z]{2,}[^\s]*\s+(returned|responded|answered|exceeded)|provider|third.party|vendor",
    re.IGNORECASE,
)


def stem(word: str) -> str:
    """A crude stem: enough that `batching`, `batched` and `batch` meet."""
    word = word.lower()
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def stems(text: str) -> list[str]:
    """The stems of a text's words and of the pieces of its identifiers, stop words left out."""
    pieces = (stem(piece) for piece in PIECES.findall(text))
    return [word for word in pieces if len(word) > 2 and word not in STOP]


def linked(complaints: Iterable[str]) -> frozenset[str]:
    """The stems of the code that prevents what is complained of."""
    stems_complained = set(complaints)
    return frozenset(
        stem(safeguard)
        for symptoms, safeguards in LINKS
        if stems_complained & {stem(symptom) for symptom in symptoms.split()}
        for safeguard in safeguards.split()
    )
