"""Mechanisms by what is on the wire and in the lines: named errors, who gets through, who is alive, who waits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_call_sides import CALLS, ONSET, REDIS, first_of, incident
from test_consequences import refused

from rca.case import Case, Heartbeats, LogLines, text
from rca.evidence.silence import silence
from rca.named_causes import named_cause
from rca.ways import one_way


def with_line(case: Case, node: str, line: str) -> Case:
    """The case, and thirty new log lines of a node."""
    return replace(
        case,
        logs=LogLines(
            node=text([node]), template=text([line]), severity=text(["ERROR"]), before=np.zeros(1),
            after=np.array([30.0]), sample=text([line]),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("x509: certificate has expired or is not yet valid", ("network", True)),
        ("javax.net.ssl.SSLHandshakeException: PKIX path building failed", ("network", True)),
        ("java.net.UnknownHostException: stock", ("network", True)),
        ("getaddrinfo ENOTFOUND stock.internal", ("network", True)),
        ("[Errno -3] Temporary failure in name resolution", ("network", True)),
        ("OSError: [Errno 28] No space left on device", ("errors", False)),
        ("java.lang.OutOfMemoryError: Java heap space", ("memory", False)),
        ("HikariPool-1 - Connection is not available, request timed out after 30000ms.", ("database", False)),
        ("QueuePool limit of size 5 overflow 10 reached, connection timed out", ("database", False)),
        ("FATAL: sorry, too many clients already", ("database", False)),
        ("user anna resolved ticket 17 in the swimming pool", None),
        ("cannot print gift certificate 3", None),
        ("GET /cart failed: upstream returned an error", None),
    ],
)
def test_standard_errors_name_their_cause(line: str, named: tuple[str, bool] | None) -> None:
    """Texts as runtimes write them; a line that only says that something fails names nothing."""
    assert named_cause(line) == named


def test_a_refused_call_is_a_matter_of_the_way_where_its_caller_complains_of_a_certificate() -> None:
    """On the wire an expired certificate looks like a process that is gone."""
    case = replace(incident(), unanswered=refused("search", "maps", 5 * CALLS))
    assert first_of(case).mechanism == "killed"
    found = first_of(with_line(case, "search", "tls: failed to verify certificate: certificate has expired"))
    assert (found.candidate, found.mechanism) == ("maps", "network")


def test_a_pool_that_gives_no_connection_is_its_owner_s() -> None:
    """The service is slow and fails; its own line says for want of what."""
    case = with_line(incident(failing={("gate", "basket"): 0.5}), "basket", "timed out waiting for a pooled connection")
    assert first_of(case).mechanism != "database"
    case = with_line(case, "basket", "timeout: no connection from the pool after 5000 ms")
    found = first_of(case)
    assert (found.candidate, found.mechanism) == ("basket", "database")


def test_who_is_refused_while_others_are_served_is_cut_off() -> None:
    """Search gets no connection to the stock, which serves the basket as ever."""
    case = replace(incident(), unanswered=refused("search", "stock", 20 * CALLS))
    assert one_way(case, "stock")
    found = first_of(case)
    assert (found.candidate, found.mechanism) == ("stock", "network")


@pytest.mark.parametrize(("slow", "how"), [({}, "killed"), ({("basket", REDIS): 1.0}, "hung")])
def test_whoever_waits_for_a_silent_service_waits_for_one_that_hangs(
    slow: dict[tuple[str, str], float], how: str
) -> None:
    """Calls to a process that is gone fail at once."""
    case = incident(slow=slow)
    beats = Heartbeats(
        node=text(["stock", "gate"]), last=np.array([ONSET - 2, ONSET + 28]), period=np.full(2, 5.0), horizon=ONSET + 30
    )
    flows, links = case.flows, case.links
    assert flows is not None
    assert links is not None
    stopped = (flows.node == "stock") & (flows.time >= ONSET)
    unseen = (links.callee == "stock") & (links.time >= ONSET)
    case = replace(
        case,
        heartbeats=beats,
        flows=flows.where(~stopped),
        links=replace(links, calls=np.where(unseen, 0.0, links.calls)),
    )
    (term,) = silence(case)
    assert max(term.hints, key=lambda name: term.hints[name]) == how
