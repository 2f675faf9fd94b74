"""Every registered source passes the suite, and the suite refuses sources that break its rules."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any

import pytest

from collectors import conformance
from collectors.receivers.exchange import Exchange
from collectors.receivers.http import HttpPort
from collectors.registry import accept, sources
from collectors.running import LOOP, RunningSources
from collectors.source import SourceContext
from collectors.trials import Posted, post
from tests.waiting import until
from watchkeeper.config import Config
from watchkeeper.conformance import source_suite
from watchkeeper.errors import IngestLogError
from watchkeeper.problems import Problems
from watchkeeper.vocabulary import ChangeEvent

TestSources = source_suite()
PATH = "/api/v1/example"


def _change(body: Mapping[str, Any]) -> ChangeEvent:
    if not isinstance(body.get("title"), str):
        raise ValueError("title must be a text")  # noqa: TRY004 - of the sender's JSON
    return ChangeEvent(
        id=body["title"], at=datetime.now(UTC), kind="deploy", service="example", title=body["title"], version=""
    )


def _good() -> bytes:
    return json.dumps({"title": "Release 7"}).encode()


class Good:
    """Change events, posted in a form of our own."""

    def __init__(self, context: SourceContext) -> None:
        self.context = context
        context.http.add_json(PATH, self.take)

    def take(self, body: Any) -> dict[str, Any]:
        return {"new": self.context.sinks.change(_change(body))}

    def run(self) -> None:
        self.context.stop.wait()

    @staticmethod
    def trial() -> Posted:
        return Posted(send=post(PATH), good=_good, malformed=(b"{", b"{}", b'{"title": 7}'))


Undescribed = type("Undescribed", (), {name: each for name, each in vars(Good).items() if name != "__doc__"})


class Hasty(Good):
    """Answers before anything is kept."""

    def take(self, body: Any) -> dict[str, Any]:
        change = _change(body)
        threading.Thread(target=self.context.sinks.change, args=(change,), daemon=True).start()
        return {"new": True}


class Gullible(Good):
    """Accepts whatever comes."""

    def take(self, body: Any) -> dict[str, Any]:
        return {"new": self.context.sinks.change(_change({"title": str(body)}))}


class Mute(Good):
    """Rejects without a reason."""

    def __init__(self, context: SourceContext) -> None:
        self.context = context
        context.http.add(PATH, self.route)

    async def route(self, port: HttpPort, exchange: Exchange) -> None:
        async with port.body(exchange) as body:
            try:
                self.take(json.loads(body))
            except ValueError:
                await exchange.answer(400, b"")
            else:
                await exchange.answer(200, b"{}")


class Forgiving(Good):
    """Does not let its sender know that nothing was kept."""

    def take(self, body: Any) -> dict[str, Any]:
        change = _change(body)
        try:
            return {"new": self.context.sinks.change(change)}
        except IngestLogError:
            return {"new": False}


class Shut(Good):
    """Cannot be opened."""

    def __init__(self, context: SourceContext) -> None:
        raise ValueError("the certificate is missing")


class Deaf(Good):
    """Goes on when the role stops."""

    def run(self) -> None:
        threading.Event().wait(conformance.STOP_WITHIN_S + 3)


class Silent:
    """Reads a page, and keeps to itself what goes wrong."""

    section = "ingest.scrape"

    def __init__(self, context: SourceContext) -> None:
        self.context = context

    def run(self) -> None:
        self.context.stop.wait()

    @staticmethod
    def trial() -> Any:
        return conformance.built_in("")["prometheus-scrape"]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that waits for what never comes fails soon."""
    monkeypatch.setattr(conformance, "WITHIN_S", 3.0)
    monkeypatch.setattr(conformance, "STOP_WITHIN_S", 1.0)


def test_a_good_source_of_another_package_passes() -> None:
    """Each check, on the source from which the broken ones are made."""
    for check in conformance.CHECKS:
        check(accept("example", Good))


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (Undescribed, conformance.it_is_described, "no docstring"),
        (Shut, conformance.it_opens, "certificate is missing"),
        (Hasty, conformance.it_confirms_only_what_is_synced, "before the request was synced"),
        (Gullible, conformance.it_rejects_what_is_malformed, "it accepted"),
        (Mute, conformance.it_rejects_what_is_malformed, "without a reason"),
        (Silent, conformance.it_rejects_what_is_malformed, "is not reported"),
        (Forgiving, conformance.it_asks_to_retry_when_nothing_can_be_taken, "accepted what the intake rejected"),
        (Silent, conformance.it_names_an_origin_that_is_away, "unreachable origin is not reported"),
        (Deaf, conformance.it_stops_when_asked, "did not stop"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_source_is_refused(broken: type, check: conformance.Check, words: str) -> None:
    """By the check whose rule it breaks, with what is wrong."""
    with pytest.raises(AssertionError, match=words):
        check(accept("example", broken))


class Dies(Good):
    """Ends a moment after it was started."""

    def run(self) -> None:
        raise RuntimeError("the queue is gone")


def _point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group="watchkeeper.sources")


def test_a_source_that_fails_is_named_and_the_others_go_on(tmp_path: Any) -> None:
    """One cannot be imported, one is no source, one cannot be opened, one dies, one is not installed; one serves."""
    here = __name__
    registry = sources(
        [
            _point("absent", "nowhere.at_all:Thing"),
            _point("number", f"{here}:PATH"),
            _point("shut", f"{here}:Shut"),
            _point("dies", f"{here}:Dies"),
            _point("good", f"{here}:Good"),
            _point("unused", f"{here}:Good"),
        ]
    )
    configured = {"shut": {}, "dies": {}, "good": None, "unheard-of": {}}
    config = Config(data_dir=tmp_path, sources={**configured, "good": {}})
    problems, stop, http, opened = Problems(None), threading.Event(), HttpPort(config), []

    def context_of(source: Any) -> SourceContext:
        opened.append(source.name)
        return SourceContext(
            name=source.name,
            config=config,
            settings=config.sources[source.name] or {},
            intake=None,  # type: ignore[arg-type]  # none of these takes telemetry
            sinks=None,  # type: ignore[arg-type]
            problems=problems,
            stop=stop,
            http=http.paths("one owner", problems),
            listening=lambda *_: None,
        )

    running = RunningSources(registry, config, problems, context_of, stop)
    assert set(running.names) == {"shut", "dies", "good"}
    running.start()

    def reasons() -> MappingProxyType[str, str]:
        return MappingProxyType({each.subject: each.reason for each in problems.current() if each.loop == LOOP})

    until(lambda: {"absent", "number", "shut", "dies", "unheard-of"} == reasons().keys())
    assert "cannot be loaded" in reasons()["absent"]
    assert "SourceContext" in reasons()["number"]
    assert "certificate is missing" in reasons()["shut"]
    assert "the queue is gone" in reasons()["dies"]
    assert "no installed package" in reasons()["unheard-of"]
    until(lambda: opened.count("dies") > 1)  # it is made again
    stop.set()
    running.join()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("source ")]


def test_a_path_belongs_to_the_source_that_added_it_first() -> None:
    """Nobody takes over another's path, or the role's health; one's own may be replaced."""
    http, problems = HttpPort(Config()), Problems(None)
    first = http.paths("first", problems)
    first.add_json(PATH, lambda body: body)
    first.add_json(PATH, lambda body: body)
    for path, words in ((PATH, "source first"), ("/readyz", "health"), ("no/slash", "begin with /")):
        with pytest.raises(ValueError, match=words):
            http.paths("second", problems).add_json(path, lambda body: body)
