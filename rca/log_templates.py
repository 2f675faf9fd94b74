"""The fixed part of a log line: what two lines of one statement share.

Cheap and stateless on purpose: payloads begin at the first colon, brace or equals sign, and numbers and
identifiers vary, except a line number in the source (`Class#114`), which names the statement.
"""

from __future__ import annotations

import re

PAYLOAD = re.compile(r"(?:[:{=]|：).*$", re.DOTALL)
VARIABLE = re.compile(r"(?<!#)\b[0-9a-fA-F]*\d[0-9a-fA-F.-]*\b")
LENGTH = 120  # characters of a template: the fixed part of a statement is at the front
READ = 400  # characters of a line that are looked at; payloads can be megabytes


def template(body: str) -> str:
    """The template of one line; lines of one statement give the same text.

    >>> template("Pay for order 7802: 12.50 EUR")
    'Pay for order <*>'
    """
    return VARIABLE.sub("<*>", PAYLOAD.sub("", body[:READ]))[:LENGTH].strip()
