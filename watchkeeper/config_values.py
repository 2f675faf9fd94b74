"""The kinds of values that a configuration file holds. Each is checked as run time will need it.

What is accepted here resolves later: a zone is one that this machine knows, a time is one that can be counted from, a
number is finite and fits every clock and database, an address has a host.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from difflib import get_close_matches
from email.utils import parseaddr
from functools import partial
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

YEAR_S: Final = 366 * 86_400.0
HOST_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _text(longest: int, text: str) -> str:
    """Something that a human reads in one line."""
    if not text.strip():
        raise ValueError("must not be blank")
    if text != text.strip():
        raise ValueError("begins or ends with a blank; remove it")
    if not text.isprintable():
        raise ValueError("holds a character that nobody sees (a control or format character); remove it")
    if len(text) > longest:
        raise ValueError(f"is longer than {longest} characters")
    return text


def zone(name: str) -> str:
    """An IANA time zone that this machine can resolve."""
    advice = "write an IANA name such as Europe/Berlin, Asia/Kolkata or UTC"
    try:
        if name.strip() and name == name.strip():
            ZoneInfo(name)
            return name
    except (KeyError, ValueError, OSError):  # unknown; outside of the folder of zones; a folder of zones
        close = get_close_matches(name, available_timezones(), n=1, cutoff=0.7)
        advice = f"did you mean {close[0]}? Otherwise {advice}" if close else advice
    raise ValueError(f"is no time zone that this machine knows; {advice}")


def local_time(text: str) -> str:
    """A date and time without an offset, from which turns are counted in the schedule's own zone."""
    advice = "write it like 2026-01-05T09:00"
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"is no time; {advice}") from error
    if at.tzinfo is not None:
        raise ValueError(f"is the schedule's local time: leave the offset out; {advice}")
    if not 1970 <= at.year <= 2200:
        raise ValueError(f"the year must be from 1970 to 2200; {advice}")
    return text


def host(text: str) -> str:
    """A name or an address to listen on: no scheme, no port."""
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        all_numbers = text.replace(".", "").isdigit()  # 127.0.0.256 is no name
        labels = text.removesuffix(".").split(".")
        if all_numbers or len(text) > 253 or not all(map(HOST_LABEL.fullmatch, labels)):
            raise ValueError("must be a host name or an address, without scheme and port: 127.0.0.1") from error
    return text


def http_url(text: str) -> str:
    """The address of an HTTP server; a slash at its end is cut, for paths are added to it."""
    parts = _split(text, ("http", "https"), "http://127.0.0.1:8123")
    if parts[1]:
        raise ValueError("holds a user name or a password; secrets don't stand in the file")
    if "?" in text or "#" in text:
        raise ValueError("must have no query and no fragment")
    return text.rstrip("/")


def scrape_target(text: str) -> str:
    """`host:port` or an http URL, to which the job's path is added."""
    try:
        http_url(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ValueError(f"{error} (a target is host:port, such as 127.0.0.1:9100)") from error
    return text.rstrip("/")


def _split(text: str, schemes: tuple[str, ...], example: str) -> tuple[str, bool]:
    """The host of a URL, and whether it names a user."""
    advice = f"write it like {example}"
    if not text.isprintable() or any(c.isspace() for c in text):
        raise ValueError(f"holds a blank or a character that nobody sees; {advice}")
    try:
        parts = urlsplit(text)
        named, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"is no address: {error}; {advice}") from error
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}; {advice}")
    if not named or port == 0:
        raise ValueError(f"names no {'port' if named else 'host'}; {advice}")
    host(named)
    return named, bool(parts.username or parts.password)


def check_state_url(text: str) -> None:
    """SQLite as a file, or PostgreSQL.

    Raises:
        ValueError: neither; says how to write it, and not what was found, which may hold a password.
    """
    if text.startswith("sqlite:"):
        name = text.removeprefix("sqlite:///").split("?")[0]
        if not text.startswith("sqlite:///") or not name.strip() or name == ":memory:":
            raise ValueError("must name a file, which the roles share: sqlite:///state.db")
        return
    query = dict(parse_qsl(text.partition("?")[2]))
    if not urlsplit(text.partition("?")[0]).netloc.rpartition("@")[2] and (hosts := query.get("host", "").strip()):
        # libpq's own form: a socket's folder, or several hosts of which one takes writes.
        for one in hosts.split(","):
            if not one.startswith("/"):
                host(one.partition(":")[0] if one.count(":") == 1 else one)
        text = text.replace("://", "://localhost", 1) if "@" not in text else text.replace("@", "@localhost", 1)
    _split(text, ("postgresql", "postgresql+psycopg"), "postgresql://user@127.0.0.1/watchkeeper")


def state_url(text: str, info: ValidationInfo) -> str:
    """A state database; the file of a relative SQLite path is relative to the configuration file."""
    check_state_url(text)
    if not text.startswith("sqlite:"):
        return text
    name, *options = text.removeprefix("sqlite:///").split("?", 1)
    return "?".join([f"sqlite:///{_folder(info) / name}", *options])


def variable(name: str) -> str:
    """The name of an environment variable, which is not the secret itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
        raise ValueError("must be the NAME of an environment variable, such as WATCHKEEPER_TOKEN, not what it holds")
    return name


def sha256(text: str) -> str:
    """A SHA-256 in hexadecimal, of something."""
    digest = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("must be 64 hexadecimal digits; `watchkeeper token new` prints a token and its sha256")
    if digest == EMPTY_SHA256:
        raise ValueError("is the digest of an empty token, which everybody has; run `watchkeeper token new`")
    return digest


def _folder(info: ValidationInfo) -> Path:
    """What relative paths are relative to: the folder of the file; without a file, the working directory."""
    folder = (info.context or {}).get("folder")
    return folder if isinstance(folder, Path) else Path.cwd()


def path(value: Path, info: ValidationInfo) -> Path:
    """An absolute path, with `~` filled in. Whether it is there is for whoever opens it."""
    if not str(value).isprintable():
        raise ValueError("holds a character that nobody sees (a control or format character); remove it")
    try:
        return (_folder(info) / value.expanduser()).absolute()
    except RuntimeError as error:
        raise ValueError(f"has no home folder to stand for ~: {error}") from error


def _not_blank(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("must not be blank")  # Path("") would be the working directory
    return value


def bracketed(name: str) -> str:
    """A host as it stands in a URL: IPv6 in brackets."""
    return f"[{name}]" if ":" in name else name


def mailbox(text: str) -> str:
    """An e-mail address, alone."""
    name, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    plain = text.isascii() and text.isprintable() and not any(sign in text for sign in " ,;<>()\"'\\")
    if name or address != text or not plain or not local or "." not in domain.strip("."):
        raise ValueError("must be an e-mail address, such as ana@example.com")
    return text


def slack_channel(text: str) -> str:
    """The id of a channel in Slack: names change, and its history is read by id."""
    if not re.fullmatch(r"[CG][A-Z0-9]{7,20}", text):
        raise ValueError("must be the id of a Slack channel, such as C012AB3CD; its details in Slack show it")
    return text


def sender(text: str) -> str:
    """`pager@example.com`, or `Watchkeeper <pager@example.com>`."""
    name, address = parseaddr(text)
    if not text.isprintable() or (name and address not in text):
        raise ValueError("must be an address, such as Watchkeeper <pager@example.com>")
    mailbox(address)
    return text


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0.001, le=YEAR_S, allow_inf_nan=False)]
Delay = Annotated[float, Field(ge=0, le=YEAR_S, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Mebibytes = Annotated[int, Field(ge=1, le=1 << 20)]
Text = Annotated[str, AfterValidator(partial(_text, 200))]
Id = Annotated[str, AfterValidator(partial(_text, 64))]  # as long as the state database's columns
# Stands before a slash where two targets have a service of one name.
TargetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
SqlName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
UrlPath = Annotated[str, Field(pattern=r"^/[^\s#]*$", max_length=2000)]
Zone = Annotated[str, AfterValidator(zone)]
LocalTime = Annotated[str, AfterValidator(local_time)]
Host = Annotated[str, AfterValidator(host)]
Mailbox = Annotated[Text, AfterValidator(mailbox)]
Sender = Annotated[Text, AfterValidator(sender)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
ScrapeTarget = Annotated[str, AfterValidator(scrape_target)]
StateUrl = Annotated[str, AfterValidator(state_url)]
Variable = Annotated[str, AfterValidator(variable)]
Sha256 = Annotated[str, AfterValidator(sha256)]
FilePath = Annotated[Path, BeforeValidator(_not_blank), AfterValidator(path)]
