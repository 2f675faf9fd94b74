"""Errors that name their cause: the standard texts and codes of common runtimes, resolvers, TLS libraries and pools.

A line such as `x509: certificate has expired` or `ENOSPC` says more than that something fails. Names are those of POSIX
(`errno`), getaddrinfo and DNS, OpenSSL and Go's TLS, the JVM, and of connection pools of Java, Python, .NET and Node.
"""

from __future__ import annotations

import re
from typing import Final

from watchkeeper.vocabulary import Mechanism

# The way to a peer: its name, its certificate, its route.
NETWORK: Final = re.compile(
    r"certificate.*(expired|verif|invalid|not (yet )?valid|untrusted|unknown|fail)"
    r"|(expired|verif|invalid|untrusted|unknown).*certificate|x509"
    r"|(tls|ssl)\w*[: ].*(handshake|error|fail|alert)|no such host|name or service not known"
    r"|(name|address).{0,12}resol|could not resolve|enotfound|eai_again|getaddrinfo|nxdomain|servfail|unknown.?host"
    r"|no route to host|(network|host) is unreachable|e(host|net)unreach",
    re.IGNORECASE,
)
# What a program has too little of itself.
OWN: Final[tuple[tuple[Mechanism, re.Pattern[str]], ...]] = (
    ("memory", re.compile(r"out.?of.?memory|oom.?kill|cannot allocate memory|\benomem\b|heap space", re.IGNORECASE)),
    ("errors", re.compile(r"no space left|\benospc\b|disk (is )?full|(disk )?quota exceeded", re.IGNORECASE)),
    (
        "database",
        re.compile(
            r"(tim(e|ed).?out|elapsed|exhaust|limit|no (free|available)|unavailable|not available).*\bconn\w*.*\bpool"
            r"|pool\b.*(tim(e|ed).?out|exhaust|limit|size)|conn\w* is not available"
            r"|too many (connections|clients)|connection slots",
            re.IGNORECASE,
        ),
    ),
)


def named_cause(line: str) -> tuple[Mechanism, bool] | None:
    """The mechanism that a line names, and whether it is about a peer; None where it names none.

    >>> named_cause("dial tcp: lookup cart on 10.0.0.2:53: no such host")
    ('network', True)
    """
    if NETWORK.search(line):
        return "network", True
    return next(((mechanism, False) for mechanism, words in OWN if words.search(line)), None)
