"""What a question wants to know. Pure: words in, one intent out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

Intent = Literal["who", "budget", "last", "callers", "callees", "changed", "why", "open"]

# In this order: what is asked of more seldom, in words that nothing else uses, comes first.
_PATTERNS: Final[tuple[tuple[Intent, str], ...]] = (
    ("who", r"\b(who|whom)\b.*\b(on[- ]?call|duty|paged?|pages|responsible|owns?|has|holds?|called|covers?|next)\b"),
    ("who", r"\bon[- ]?call\b|\bon duty\b|\bwho (is|are|do|should)\b"),
    ("budget", r"\b(budgets?|slos?|objectives?)\b"),
    ("last", r"\b(last time|last (incident|outage)|before like|like th(is|at)|previous(ly)?|history|similar)\b"),
    ("last", r"\bhow did\b.*\bend\b|\bhappened (last|before|then)\b|\bever (happened|failed|broke|been)\b"),
    ("callers", r"\b(what|who|which|anything)\b(?!.*\bdo(es)?\b).*\b(depends?|rel(y|ies)) on\b"),
    ("callers", r"\bdependents?\b|\bcallers?\b|\bupstream\b"),
    ("callers", r"\b(who|what|which( services?)?) (calls?|uses?|needs?)\b"),
    ("callers", r"\b(affected|hurt|breaks?) (if|when|by)\b"),
    ("callees", r"\bdepend(s|ed|ing)?\b|\bdependenc(y|ies)\b|\bdownstream\b|\bdo(es)?\b.*\b(call|use|need|rely)\b"),
    ("changed", r"\bchang(e|es|ed|ing)\b|\bdeploy\w*\b|\breleas\w+\b|\brolled out\b|\bnew version\b|\bversions?\b"),
    ("open", r"\b(what|which|anything|how many)\b.*\b(open|on fire|going on|firing|burning|happening|broken|wrong)\b"),
    ("open", r"\b(open|current) incidents?\b|^\W*(status|open)\W*$|\bis (everything|all) (ok|okay|fine|well|good)\b"),
    ("why", r"\bwhy\b|\bslow\w*\b|\blatenc\w+\b|\bfail\w*\b|\berrors?\b|\bdown\b|\bbroken?\b|\bwrong\b|\bunhealthy\b"),
    ("why", r"\btim(es|ing|ed?) ?outs?\b|\bbad\b|\btrouble\b|\bmatter\b|\bhow is\b|\bhow are\b|\bcause\b|\bhealthy\b"),
)
_COMPILED: Final = tuple((intent, re.compile(pattern, re.IGNORECASE)) for intent, pattern in _PATTERNS)

# How each is asked, with the place of a name.
EXAMPLES: Final[Mapping[Intent, str]] = {
    "why": "why is {service} slow?",
    "changed": "what changed in {service}?",
    "who": "who is on call for {service}?",
    "callers": "what depends on {service}?",
    "callees": "what does {service} depend on?",
    "budget": "is the budget of {service} safe?",
    "last": "what happened last time with {service}?",
    "open": "what is open?",
}


def intent_of(question: str) -> Intent | None:
    """What a question asks, the name in it aside.

    >>> [intent_of(text) for text in ("why is slow?", "what depends on", "is 's budget safe", "hello")]
    ['why', 'callers', 'budget', None]
    """
    text = question[:1000]
    return next((intent for intent, pattern in _COMPILED if pattern.search(text)), None)
