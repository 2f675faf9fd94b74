"""What of a log line is certainly a value, whatever program wrote it.

A token is masked by the characters it is made of, never by who wrote it: anything with a digit, paths, addresses,
hexadecimal, quoted text, the value after a key, the arguments of a call, names of months and days. A key, the name
of what is called and the verb of a quoted request stay: they belong to the message. What is left are words; whether
those are values too only shows in many lines, which is the miner's business.
"""

from __future__ import annotations

import json
import re
from typing import Final

VALUE: Final = "<*>"
MOST_TOKENS: Final = 64  # a longer line is cut: what tells templates apart comes early
MOST_CACHED: Final = 200_000  # shapes of words that are remembered: some 20 MB
LONGEST_WORD: Final = 128  # characters; what is longer is a value, and not worth remembering

SEVERITIES: Final = frozenset(
    [
        *("trace", "verbose", "debug", "info", "log", "notice", "warn", "warning", "error", "err", "critical", "crit"),
        *("fatal", "panic", "alert", "emerg", "severe"),
    ]
)
MESSAGE_KEYS: Final = frozenset({"msg", "message", "event", "text", "log", "body"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_OPENING: Final = "([{<>'\"`"
_CLOSING: Final = ")]}>'\"`,;:.!?"
_MATES: Final = {")": "(", "]": "[", "}": "{", ">": "<"}
_DIGIT: Final = re.compile(r"\d")
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]+|[-+]?\d+(?:[.,:]\d+)*")
_NUMERIC: Final = re.compile(r"[-+\d][\d.,:+/TZ-]*+(?<=\d)")  # a number, a date, a time
_HEX: Final = re.compile(r"[0-9a-fA-F]{8,}")
# A quote after a backslash opens nothing, and no part gives back what it took: so a line of escaped quotes, none of
# which is ever closed, is read once and not once for each of them.
_QUOTED: Final = re.compile(r"\"(?<!\\\")(?:[^\"\\]++|\\.)*+\"|'(?<!\w')[^']+'(?!\w)")
# How terminals are told of colours and titles; syslog and pagers write the escape character as text.
_TERMINAL: Final = re.compile(
    r"(?:\x1b|\x9b|#033|\^\[)(?:(?<=\x9b)|\[)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]"
)
_KEYED: Final = re.compile(r"-{0,2}[^\W\d][\w.\-:$#@]*+=(?!=)")
_NEXT_KEY: Final = re.compile(r"[,;|&]([^\W\d][\w.\-$#@]*+=)")
_COLON_KEYED: Final = re.compile(r"([^\W\d](?:[^\W\d]|-)++):[^:/\\].*", re.DOTALL)
_CALLED: Final = re.compile(r"([^\W\d](?:[^\W\d]|[.$/-]|::)*+)(?:[\[(][^()\[\]]*+[\])])++")
_UNCLOSED: Final = re.compile(r"([^\W\d](?:[^\W\d]|-)*+[\[(])[^()\[\]]*\d[^()\[\]]*")  # `took[7` of `took[7 ms]`
_ARGUMENTS: Final = re.compile(r"([\[(])([^()\[\]]+)([\])])")
_PLURALS: Final = frozenset({"s", "es", "ies"})
_SCOPED: Final = re.compile(r"[^\W\d][\w$~]*(?:::~?[^\W\d][\w$]{2,})+(?:\(\))?")
_LEADER: Final = re.compile(r"([^\W\d][^\W\d_-]*\.{3,})\S*\d\S*")
_ABBREVIATION: Final = re.compile(r"[A-Z]+/[A-Z]+")  # `I/O`
_MESSAGE: Final = re.compile(r"\b(msg|message|event|text)=\"((?:[^\"\\]++|\\.)*+)\"")
_ERROR: Final = re.compile(r"\b(error|err)=\"((?:[^\"\\]++|\\.)*+)\"")
_PAIR_FOLLOWS: Final = re.compile(r" [^\W\d][\w.-]*+=|$")
_LEVELLED: Final = re.compile(r"(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL):(\w[\w.]*):(.*)", re.DOTALL)
_LEVEL_KEYS: Final = frozenset({"level", "severity", "levelname", "lvl"})
_WORDS_OF_VALUE: Final = frozenset(
    [
        *("true", "false", "yes", "null", "none", "nil", "nan", "inf", "undefined"),
        *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        *("mon", "tue", "wed", "thu", "fri", "sat", "sun", "utc", "gmt", "am", "pm"),
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
            if '="' in line:
                line, count = _MESSAGE.subn(r"\1= \2", line)
                if not count and '] "' not in line:  # the error is all that the line says
                    line = _ERROR.sub(r"\1= \2", line)
            line = _QUOTED.sub(_without_text, line)
        if "][" in line:
            line = line.replace("][", "] [")
        tokens = line.split(None, MOST_TOKENS)[:MOST_TOKENS]
        known = self._known
        try:
            return tuple([known[token] for token in tokens])
        except KeyError:
            return tuple([known.get(token) or self._learn(token) for token in tokens])

    def _learn(self, token: str) -> str:
        if len(token) > LONGEST_WORD:
            return VALUE
        if len(self._known) > MOST_CACHED:
            self._known.clear()
        word = self._known[token] = masked(token)
        return word


def plain(line: str) -> str:
    """A line without what it tells a terminal (ECMA-48): colours, cursor, titles.

    >>> plain("\\x1b[31mERROR\\x1b[0m disk full")
    'ERROR disk full'
    """
    return _TERMINAL.sub("", line)


def only_numbers_masked(line: str) -> tuple[str, ...]:
    """The tokens of a line in which every token seemed a value: its letters are all there is of a message.

    >>> only_numbers_masked("adc7 (core.2275)")
    ('adc<*>', '(core.<*>)')
    """
    tokens = plain(line).replace('"', " ").replace("'", " ").split(None, MOST_TOKENS)[:MOST_TOKENS]
    return tuple(
        VALUE if len(token) > LONGEST_WORD or _HEX.search(token) or "/" in token else _NUMBER.sub(VALUE, token)
        for token in tokens
    )


def masked(token: str) -> str:
    """One token with what is certainly a value replaced by `VALUE`; punctuation around it stays.

    >>> masked("mode=idle,level=3;"), masked("setLights(on)"), masked("10.0.0.7:80"), masked("Cache::evict")
    ('mode=<*>,level=<*>;', 'setLights(<*>)', '<*>', 'Cache::evict')
    """
    if token.isalnum():
        return token if token.isalpha() and not _is_value_word(token) else VALUE
    if _NUMERIC.fullmatch(token):
        return VALUE
    levelled = _LEVELLED.fullmatch(token) if ":" in token and token[0] in "TDIWECF" else None
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
    if core.isalnum():
        word = core if core.isalpha() and not _is_value_word(core) else VALUE
        return _enclosed(opening, word, closing)
    keyed = _KEYED.match(core) if "=" in core else None
    if keyed:
        return f"{opening}{_without_values(keyed[0], core[keyed.end() :])}{closing}"
    return _enclosed(opening, VALUE if core[0].isdigit() else _parts_masked(core), closing)


def _enclosed(opening: str, word: str, closing: str) -> str:
    if word == VALUE and opening[-1:] in ("<", ">"):  # `<name>`, or `<5` alone
        opening, closing = opening[:-1], closing.removeprefix(">")
    return f"{opening}{word}{closing}"


def _without_values(key: str, rest: str) -> str:
    """A key and all after it, which may hold more keys: `a=1,b=2`."""
    if key[:-1].lower() in MESSAGE_KEYS and not rest:
        return key  # the message's own words follow
    if key[:-1].lower() in _LEVEL_KEYS and rest.lower() in SEVERITIES:
        return key + rest
    others = _NEXT_KEY.findall(rest)
    separator = rest[rest.index(others[0]) - 1] if others else ""
    return separator.join(f"{_NUMBER.sub(VALUE, name)}{VALUE}" for name in (key, *others))


def _parts_masked(core: str) -> str:
    if "[" in core or "(" in core:
        called = _CALLED.fullmatch(core) if core[-1] in ")]" else None
        if called and called[1].count(".") < (1 if core[called.end(1)] == "[" else 2):  # not `host.name[10.0.0.7]`
            return _ARGUMENTS.sub(_without_arguments, core)
        unclosed = _UNCLOSED.fullmatch(core)
        if unclosed:
            return unclosed[1] + VALUE
    if ":" in core:
        if _SCOPED.fullmatch(core):
            return core
        keyed = _COLON_KEYED.fullmatch(core)
        if keyed:
            return f"{keyed[1]}:{VALUE}"
    leader = _LEADER.fullmatch(core) if "..." in core else None
    if leader:
        return leader[1] + VALUE
    return VALUE if _is_value(core) else core


def _is_value(core: str) -> bool:
    return bool(
        _DIGIT.search(core)
        or ("/" in core and not _ABBREVIATION.fullmatch(core))
        or core.endswith("--")
        or "@" in core
        or "\\" in core
        or ":" in core
        or _is_value_word(core)
    )


def _is_value_word(core: str) -> bool:
    return core.lower() in _WORDS_OF_VALUE or (len(core) > 7 and bool(_HEX.fullmatch(core)))


def _without_arguments(match: re.Match[str]) -> str:
    return match[0] if match[2] in _PLURALS else f"{match[1]}{VALUE}{match[3]}"


def _without_text(match: re.Match[str]) -> str:
    text = match[0]
    before = match.string[max(match.start() - 2, 0) : match.start()]
    if before[-1:] == "=":
        return VALUE
    if before == "] " and " " in text and _PAIR_FOLLOWS.match(match.string, match.end()):  # a message before its record
        return text[1:-1]
    if text[1].isupper() and before != ": ":  # what follows a label is its value
        verb, _, rest = text[1:-1].partition(" ")
        if rest and verb in METHODS:
            return f' "{verb} {VALUE}" '
    return f" {VALUE} "


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
