"""What of a masked line is the statement that wrote it: its literal words, and where values stand between them.

The literal words, in order, are a template's identity. Values, lists and optional values change nothing about it.
In a sentence its keys are no part of it either, for a record's fields come and go, nor are names with dots. In a short
line these are all that tells its statement from others, and so it counts whether a value comes first or last.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from http import HTTPStatus
from itertools import pairwise
from typing import Final, NamedTuple

from detectors.templates.english import is_state
from detectors.templates.shape import METHODS, SEVERITIES, VALUE

Words = tuple[str, ...]

SENTENCE: Final = 3  # words, values among them, from which a line is a sentence
RECORD: Final = 2  # pairs as `current: staged,` from which a line is a record
MOST_HEADER: Final = 5  # words of a header before its tag
MOST_ASIDES: Final = 2  # asides at the end of a line that may be left out
SHORT: Final = 2  # words of a message up to which it matters where its values stand
LONGEST_ITEM: Final = 4  # words of an item in a list
UNITS: Final = frozenset(
    [
        *("ns", "us", "µs", "ms", "s", "sec", "secs", "second", "seconds", "min", "mins", "minute", "minutes", "h"),
        *("hour", "hours", "day", "days", "b", "byte", "bytes", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "%"),
        *("hz", "khz", "mhz", "ghz", "bps", "kbps", "mbps", "gbps", "fps", "rps", "qps", "rpm", "px"),
    ]
)
ATTRIBUTES: Final = frozenset({"port", "pid", "tid", "uid", "gid", "id", "line"})  # left out together with their number
_ANSWERS: Final = frozenset({"yes", "no", "on", "off"})
_TAG: Final = f"[{VALUE}]:"  # `sshd[17]:`
_LETTERS: Final = frozenset("TVDIWEF")  # how a severity is abbreviated
_DASHES: Final = (("-",), ("|",))
MOST_WORDS: Final = 50_000  # words whose kind is remembered
MARKS: Final = "()[]{}<>'\"`,;:.!?*"
_ASIDE: Final = re.compile(r"\((<\*>|[^\W\d][\w.-]*+)\)")  # says the value before in other words: `17 (cron)`
_UNIT: Final = re.compile(r"(?:[^\W\d_]+|%)(?=$|[\])}\[(.:/])")
_DOTTED: Final = re.compile(r"[^\W\d][\w$-]*+(?:\.[\w$-]++)+")
_CAMEL: Final = re.compile(r"[a-z][A-Z]")
_REASONS: Final = frozenset(status.phrase for status in HTTPStatus)


class Statement(NamedTuple):
    """One line's statement."""

    literals: Words  # the identity
    places: tuple[int, ...]  # of each literal, its place in `words`
    fixed: tuple[bool, ...]  # of each literal, whether it never is a value: a severity, a component, a key
    gaps: frozenset[int]  # before which literals values stand; the number of literals for values at the end
    keys: frozenset[str]  # the keys among the literals
    header: int  # how many literals come before the message: severity, component, what is in brackets
    words: Words  # the template's text


class _Word(NamedTuple):
    """What one word of a line is by itself."""

    core: str  # without punctuation around it; the literal, `name()` where the arguments are masked
    literal: bool  # whether it has letters that are no value
    masked: bool
    key: bool
    plain: bool
    dotted: bool
    kept: bool  # a severity, a verb of a request, a key: never a value
    bracketed: bool


@lru_cache(maxsize=MOST_WORDS)
def _read(word: str) -> _Word:
    core, masked = word.strip(MARKS), VALUE in word
    literal = any(map(str.isalpha, core))
    key = masked and literal and ("=" in core or f":{VALUE}" in word)
    return _Word(
        core=f"{core}:" if key and "=" not in core else f"{core}()" if masked and literal and not key else core,
        literal=literal,
        masked=masked,
        key=key,
        plain=literal and not masked and is_plain(core),
        dotted=not masked and bool(_DOTTED.fullmatch(core)),
        kept=core.lower() in SEVERITIES or core in METHODS or "=" in core,
        bracketed=word[0] == "[",
    )


def statement(words: Words) -> Statement:
    """The statement of a masked line (`Shapes.of`).

    >>> statement(("job", "<*>", "took", "<*>", "ms", "id=<*>")).literals
    ('job', 'took')
    >>> statement(("stepsTotal=<*>",)).literals
    ('stepsTotal=',)
    """
    words = collapsed(words)
    parts = _pairs_as_keys(words, [_read(word) for word in words])
    opens, sentence = _sentence(words, parts)
    literals: list[str] = []
    places, fixed = [], []
    gaps, keys, header = set(), set(), 0
    for place, part in enumerate(parts):
        if not part.literal:
            if part.masked:
                gaps.add(len(literals))
            continue
        component = place < opens
        assigned = words[place + 1 : place + 2] == ("=",) or words[place + 1 : place + 3] == ("set", "to")
        if component:
            argument = part.dotted and part.bracketed  # a logger, a thread, a host
        else:
            argument = sentence and not assigned and (part.key or part.dotted or _is_annotation(words, parts, place))
        if argument or (literals and literals[-1] == part.core and len(literals) in gaps):  # or a list's next item
            gaps.add(len(literals))
            continue
        if part.key:
            keys.add(part.core)
        fixed.append(part.kept or assigned or (component and len(part.core) == 1))
        header += component
        counted = place > 0 and parts[place - 1].masked and part.plain and part.core.islower()
        literals.append(_singular(part.core) if counted else part.core)
        places.append(place)
    if not literals:  # numbers, or a line of dashes: all of it is what it is known by
        return Statement(words, tuple(range(len(words))), (True,) * len(words), frozenset(), frozenset(), 0, words)
    values = [place for place, part in enumerate(parts) if part.masked and not part.literal and place >= opens]
    if values and 0 < len(literals) - header <= SHORT:  # `starting <*>` is not `<*>: starting`
        if len(literals) - header == 1 and len(literals) in gaps:
            literals.append(VALUE)
            places.append(values[-1])
            fixed.append(False)
        if values[0] < places[header] and not parts[values[0]].bracketed:
            literals.insert(header, VALUE)
            places.insert(header, values[0])
            fixed.insert(header, False)
            gaps = {gap + (gap > header) for gap in gaps if gap != header}
    return Statement(tuple(literals), tuple(places), tuple(fixed), frozenset(gaps), frozenset(keys), header, words)


def _singular(core: str) -> str:
    """One word for `1 file` and `3 files`."""
    return core[:-1] if len(core) > len("was") and core[-1] == "s" and core[-2] not in "aiosu" else core


def collapsed(words: Words) -> Words:
    """The same with lists as one value, and without units after a value: lists and durations differ in length.

    >>> collapsed(("<*>", "bytes", "(<*>", "KB)", "sent,", "took=<*>", "ms"))
    ('<*>', 'sent,', 'took=<*>')
    """
    ends = [word[-1] for word in words]
    if "," in ends and any(word[0] in "[{" and word[-1] == "," for word in words):
        words = _lists_masked(words)
        ends = [word[-1] for word in words]
    record = ends.count(":") >= RECORD and sum(one == ":" and two == "," for one, two in pairwise(ends)) >= RECORD
    out: list[str] = []
    follows = False
    for i, word in enumerate(words):
        masked = (follows or word in METHODS) and _is_value_here(words, i, record)
        follows = ends[i] in ":="
        _append(out, VALUE if masked else word)
    for length in (1, 2, 3, 4) if VALUE in out else ():  # what HTTP calls a status comes after its number, and no more
        if out[-length - 1 : -length] == [VALUE] and " ".join(out[-length:]) in _REASONS:
            del out[-length:]
            break
    return tuple(out)


def _append(out: list[str], word: str) -> None:
    """Append a word, unless it only goes on with the value or the item before."""
    last, bare = out[-1] if out else "", word.rstrip(",;")
    if last.endswith(VALUE) and bare != VALUE:
        unit = (_UNIT.match(bare) or [""])[0]
        if (unit.lower() if len(unit) > 1 else unit) in UNITS:
            out[-1] = last + word[len(unit) :]
            bare = ""
    if bare == VALUE and last.rstrip(",;") == VALUE:
        out[-1] = word
    elif bare:
        out.append(word)
    if not out:
        return
    aside = _ASIDE.match(out[-1]) if out[-1][0] == "(" and out[-2:-1] == [VALUE] else None
    if aside and (not is_state(aside[1]) or aside[1].endswith("ing")):  # `(disconnected)` is news, `(billing)` a name
        out[-2:] = [VALUE + out[-1][aside.end() :]]
    if out[-1] in out[-LONGEST_ITEM - 1 : -1]:
        _end_repeated(out)


def _is_value_here(words: Words, i: int, in_record: bool) -> bool:
    """Whether a word is a value by its neighbours.

    A method and its path are one request; `ready: no` is an answer; `current: staged, pending: absent` is a record.
    """
    word = words[i]
    if word in METHODS:
        return words[i + 1 : i + 2] in ((VALUE,), (f"{VALUE},",), (f"{VALUE};",))
    if words[i - 1] == "=":
        return True
    ends = word[-1] in ",;)]." or i + 1 == len(words) or words[i + 1][0] in "[("
    return ends and ((in_record and word[-1] != ".") or word.strip(MARKS).lower() in _ANSWERS)


def _end_repeated(out: list[str]) -> None:
    """Take the last item away if the item before is the same, values masked: `<*> <ok> <*> <ok>`."""
    for length in range(1, min(LONGEST_ITEM, len(out) // 2) + 1):
        item = out[-length:]
        if out[-2 * length : -length] == item and any(VALUE in part for part in item):
            del out[-length:]
            return


def without_asides(seen: Statement) -> list[Words]:
    """The literals without what punctuation sets apart at the end: `(core dumped)`, `, a restart is required`."""
    shorter = []
    for place in range(len(seen.words) - 1, 0, -1):
        if seen.words[place][0] == "(" or seen.words[place - 1][-1] in ",.;":
            kept = seen.literals[: bisect_left(seen.places, place)]
            if seen.header < len(kept) < len(seen.literals) and kept not in shorter:
                shorter.append(kept)
    return shorter[:MOST_ASIDES]


def is_plain(core: str) -> bool:
    """Whether a literal is a word of a language rather than a name from code, a host or a path."""
    if core.isalpha():
        return not _CAMEL.search(core)
    if core.isupper() and "_" in core:  # a constant: E_FAIL
        return core.replace("_", "").isalpha()
    parts = core.replace("'", "").split("-")
    return all(len(part) > 1 and part.isalpha() for part in parts) and not _CAMEL.search(core)


def _sentence(words: Words, parts: list[_Word]) -> tuple[int, bool]:
    """Where the message begins after its header (severity, component, what is in brackets), and if it is a sentence."""
    tags = [place + 1 for place, word in enumerate(words[:MOST_HEADER]) if word.endswith(_TAG)]
    opens, in_brackets, header = max(tags, default=0), False, True
    plain = values = 0
    for place, part in enumerate(parts):
        inside = in_brackets or part.bracketed
        in_brackets = inside and "]" not in words[place]
        if not part.literal:
            values += part.masked and not header
            header = header and (part.masked or not part.core)  # a dash or an arrow ends it
            continue
        aside = inside or part.kept or part.key
        label = words[place][-1] == ":"
        if header:
            separated = label or (opens > 0 and words[place + 1 : place + 2] in _DASHES)
            if aside or separated or part.core in _LETTERS:
                opens = max(opens, place + 1)
                continue
            if part.dotted or place < opens:  # a host before what is in the header for certain
                continue
            header = False
        if not aside:
            plain += part.plain and not label
            values += not part.plain
    return opens, plain > 1 and plain + values >= SENTENCE


def _pairs_as_keys(words: Words, parts: list[_Word]) -> list[_Word]:
    """The same with labels as keys where each is followed by a value and the next by another: `loss: <*> acc: <*>`."""
    if sum(word[-1] == ":" for word in words) < RECORD:
        return parts
    labels = {
        place
        for place, (one, two) in enumerate(pairwise(parts))
        if words[place][-1] == ":"
        and (one.plain or is_code(one.core))
        and not one.kept
        and two.masked
        and not two.literal
    }
    labels -= {place for place in labels if place and parts[place - 1].plain}  # the end of a clause: `is missing: <*>`
    return [
        part._replace(core=f"{part.core}:", key=True, plain=False, dotted=False)
        if place in labels and (place - 2 in labels or place + 2 in labels)
        else part
        for place, part in enumerate(parts)
    ]


def _is_annotation(words: Words, parts: list[_Word], place: int) -> bool:
    """Whether a word only names the value after it: `port <*>`, or `, referer: <*>` at the end."""
    if place + 1 == len(words) or parts[place + 1].literal or not parts[place + 1].masked:
        return False
    if parts[place].core in ATTRIBUTES:
        return True
    return words[place][-1] == ":" and place > 0 and words[place - 1][-1] == "," and place + 2 == len(words)


def _lists_masked(words: Words) -> Words:
    """The same with what is in brackets and between commas as one value: `[a, b, c]`."""
    out: list[str] = []
    opened: int | None = None
    for word in words:
        out.append(word)
        if opened is None and word[0] in "[{" and word[-1] == "," and "=" not in word:
            opened = len(out) - 1
        elif opened is not None and word[-1] != ",":
            end = max(word.find("]"), word.find("}"))
            if end >= 0 and "=" not in word:
                out[opened:] = [f"[{VALUE}]{word[end + 1 :]}"]
            opened = None
    return tuple(out)


def _is_label(word: str) -> bool:
    return word[-1] == ":" and word[:-1].replace("-", "").replace("_", "").isalpha()


def text_after(words: Words) -> int:
    """Where the text after a label begins that does not open a message; 0 if there is none.

    That is a second label (`LOG: statement:`), or a first one in capitals that is no severity (`STATEMENT:`).
    """
    labels = 0
    for i, word in enumerate(words[:-1]):
        if _is_label(word):
            labels += 1
            if labels > 1 or (word.isupper() and word[:-1].lower() not in SEVERITIES):
                return i + 1
    return 0


def is_code(core: str) -> bool:
    """Whether a literal is an identifier in code: `NodeReady`, `create_mapping`."""
    return core.replace("_", "").isalpha() and not is_plain(core)
