"""What of a log line is certainly a value, whatever program wrote it.

A token is masked by the characters it is made of, never by who wrote it: anything with a digit, paths, addresses,
hexadecimal, quoted text, the value after `=`, names of months and days. What is left are words; whether those are
values too only shows in many lines, which is the miner's business.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Final

VALUE: Final = "<*>"
MOST_TOKENS: Final = 64  # a longer line is cut: what tells templates apart comes early
MOST_CACHED: Final = 200_000  # shapes of words that are remembered: some 20 MB
LONGEST_WORD: Final = 128  # characters; what is longer is a value, and not worth remembering

_OPENING: Final = "([{<>'\"`"
_CLOSING: Final = ")]}>'\"`,;:.!?"
_MATES: Final = {")": "(", "]": "[", "}": "{", ">": "<"}
_DIGIT: Final = re.compile(r"\d")
_HEX: Final = re.compile(r"[0-9a-fA-F]{8,}")
# A quote after a backslash opens nothing, and no part gives back what it took: so a line of escaped quotes, none of
# which is ever closed, is read once and not once for each of them.
_QUOTED: Final = re.compile(r"(=)?(?<!\\)\"(?:[^\"\\]++|\\.)*+\"|(?<!\w)'[^']*+'(?!\w)")
# How terminals are told of colours and titles; syslog and pagers write the escape character as text.
_TERMINAL: Final = re.compile(
    r"(?:\x1b|\x9b|#033|\^\[)(?:(?<=\x9b)|\[)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]"
)
_KEYED: Final = re.compile(r"([A-Za-z_][\w.\-]*)=(.*)", re.DOTALL)
_MESSAGE: Final = re.compile(r"\b(msg|message|event|error|err|text)=\"((?:[^\"\\]++|\\.)*+)\"")
_LEVELLED: Final = re.compile(r"(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL):(\w[\w.]*):(.*)", re.DOTALL)
_LETTERS: Final = re.compile(r"[A-Za-z]")
_REASONS: Final = frozenset(status.phrase.lower() for status in HTTPStatus)
MESSAGE_KEYS: Final = frozenset({"msg", "message", "event", "text", "log", "body"})
_LEVEL_KEYS: Final = frozenset({"level", "severity", "levelname", "lvl"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CALENDAR: Final = frozenset(
    [
        *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        *("mon", "tue", "wed", "thu", "fri", "sat", "sun", "utc", "gmt", "am", "pm"),
    ]
)
_WORDS_OF_VALUE: Final = frozenset(["true", "false", "null", "none", "nil", "nan", "inf", "undefined"])
UNITS: Final = frozenset(
    [
        *("ns", "us", "µs", "ms", "s", "sec", "secs", "second", "seconds", "min", "mins", "minute"),
        *("minutes", "h", "hour", "hours", "day", "days", "b", "byte", "bytes", "kb", "mb", "gb"),
        *("tb", "kib", "mib", "gib"),
    ]
)


class Shapes:
    """Turns lines into tuples of words and values; remembers the tokens it has seen, up to a bound."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, line: str) -> tuple[str, ...]:
        """A line as its tokens with values masked; the same program's same message mostly gives the same tuple."""
        if "\x1b" in line or "\x9b" in line or "#033" in line or "^[" in line:
            line = plain(line)
        if '"' in line or "'" in line:
            if line[:1] == "{" and line.rstrip()[-1:] == "}":
                line = plain(_flattened(line))  # colours may have been escaped in it
            line = _MESSAGE.sub(r"\1= \2", line) if '="' in line else line
            line = _QUOTED.sub(_without_text, line)
        known = self._known
        try:
            return tuple([known[token] for token in line.split(None, MOST_TOKENS)[:MOST_TOKENS]])
        except KeyError:
            pass
        if len(known) > MOST_CACHED:
            known.clear()
        words = []
        for token in line.split(None, MOST_TOKENS)[:MOST_TOKENS]:
            if len(token) > LONGEST_WORD:
                words.append(VALUE)
                continue
            if token not in known:
                known[token] = masked(token)
            words.append(known[token])
        return tuple(words)


def plain(line: str) -> str:
    """A line without what it tells a terminal (ECMA-48): colours, cursor, titles.

    >>> plain("\\x1b[31mERROR\\x1b[0m disk full")
    'ERROR disk full'
    """
    return _TERMINAL.sub("", line)


def masked(token: str) -> str:
    """One token with what is certainly a value replaced by `VALUE`; punctuation around it stays."""
    levelled = _LEVELLED.fullmatch(token) if ":" in token else None
    if levelled:
        level, name, rest = levelled.groups()
        return f"{level}:{masked(name)}:{masked(rest)}" if rest else f"{level}:{masked(name)}:"
    core = token.lstrip(_OPENING)
    opening = token[: len(token) - len(core)]
    core = core.rstrip(_CLOSING)
    closing = token[len(opening) + len(core) :]
    while closing and closing[0] in _MATES and _MATES[closing[0]] in core:  # `host=[local]` closes its own bracket
        core, closing = core + closing[0], closing[1:]
    if not core:
        return token
    if opening[-1:] in ("<", ">") and _is_value(core):  # `<name>`, or `<5` alone
        opening, closing = opening[:-1], closing.removeprefix(">")
    keyed = _KEYED.fullmatch(core) if "=" in core else None
    if keyed:
        if _DIGIT.search(keyed[1]):  # one of many of the kind: `r07=`, `disk3=`
            return f"{opening}{VALUE}{closing}"
        return f"{opening}{keyed[1]}={VALUE}{closing}" if keyed[2] else f"{opening}{core}{closing}"
    return f"{opening}{VALUE}{closing}" if _is_value(core) else token


def _is_value(core: str) -> bool:
    return bool(
        _DIGIT.search(core)
        or "/" in core
        or core.endswith("--")
        or "@" in core
        or "\\" in core
        or ":" in core
        or core.lower() in _CALENDAR
        or core.lower() in _WORDS_OF_VALUE
        or (_HEX.fullmatch(core) and core.lower() != core.upper())
    )


def collapsed(words: tuple[str, ...]) -> tuple[str, ...]:
    """The same with runs of values as one, and units after a value left out: lists and durations differ in length."""
    out: list[str] = []
    for i, word in enumerate(words):
        bare = word.rstrip(",;")
        if word in _METHODS and words[i + 1 : i + 2] and words[i + 1].rstrip(",;") == VALUE:
            bare = VALUE  # a method and its path are one request
        if bool(out) and out[-1].rstrip(",;") == VALUE:
            unit = bare.rstrip(")]")
            if bare == VALUE or bare.lower() in UNITS:
                continue
            if unit.lower() in UNITS:
                out[-1] = VALUE + bare[len(unit) :]
                continue
        out.append(VALUE if bare == VALUE else word)
    for length in (1, 2, 3, 4):  # what HTTP calls a status comes after its number and says no more
        if out[-length - 1 : -length] == [VALUE] and " ".join(out[-length:]).lower() in _REASONS:
            del out[-length:]
            break
    return tuple(out)


def is_word(token: str) -> bool:
    """Whether a token is plain text that does not come from a value."""
    return VALUE not in token and bool(_LETTERS.search(token))


def _without_text(match: re.Match[str]) -> str:
    return f"={VALUE}" if match[1] else f" {VALUE} "


def _flattened(line: str) -> str:
    """A JSON object as `key=value` words, with its message's own words."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(content, dict):
        return line
    parts = []
    for key, value in content.items():
        if key in MESSAGE_KEYS and isinstance(value, str):
            parts.append(f"{key}= {value}")
        elif key in _LEVEL_KEYS and isinstance(value, str):
            parts.append(f"{key} {value}")
        else:
            parts.append(f"{key}={VALUE}")
    return " ".join(parts)
