"""What somebody on call wants to know, found by clicks and keys alone: each in at most four steps from the overview.

The answers are injected (`investigated.py`). A step is a key or a chord, a click, or a field that is filled and sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.investigated import ORDER, Investigated, investigated

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("tasks")]  # a site of its own
MOST_STEPS: Final = 4
Step = Callable[[Page], None]


@dataclass(frozen=True, slots=True)
class Task:
    """A question, the way to its answer, and the answer as the page must show it."""

    question: str
    steps: tuple[Step, ...]
    answer: str | re.Pattern[str]


def keys(chord: str) -> Step:
    """Press the keys of a chord, one after the other."""

    def step(page: Page) -> None:
        for key in chord.split():
            page.keyboard.press(key)

    return step


def click(words: str, *, within: str = "#live", exact: bool = False) -> Step:
    """Click the first link, button, fold or tab with these words."""

    def step(page: Page) -> None:
        place = page.locator(within)
        wanted = re.compile(f"^{re.escape(words)}$") if exact else words
        target = place.get_by_role("link", name=wanted).or_(place.get_by_role("button", name=wanted))
        target.or_(place.locator("summary", has_text=wanted)).first.click()

    return step


def send(label: str, words: str) -> Step:
    """Write into a field and send the form."""

    def step(page: Page) -> None:
        box = page.locator("#live").get_by_label(label, exact=True)
        box.fill(words)
        box.press("Enter")

    return step


def choose(words: str) -> Step:
    """Write into the search, which is open, and take the first answer."""

    def step(page: Page) -> None:
        page.keyboard.type(words)
        page.get_by_role("option", name=re.compile(words)).first.wait_for()
        page.keyboard.press("Enter")

    return step


INCIDENT: Final = click("payments: 33 % of requests fail", within=".open-incident")
TASKS: Final = (
    Task("What is wrong now?", (), "payments: 33 % of requests fail, expected 0 %"),
    Task("Who has it?", (), "Nobody yet: paged Ben Okoro"),
    Task("What do users feel?", (), re.compile(r"web.*Failed.*1\d %", re.DOTALL)),
    Task("Who is on call until when?", (), re.compile("Ben Okoro until")),
    Task("Was there trouble on another day of this week?", (), re.compile("2 pages .* in seven days")),
    Task("Does an error budget burn?", (), re.compile("used up.*Checkout works.*overdrawn by", re.DOTALL)),
    Task("Who is hurt by it?", (INCIDENT,), re.compile(r"Users of web: 1\d % of requests fail")),
    Task(
        "What is the likely cause, and how sure is it?",
        (INCIDENT,),
        re.compile("Likely cause.*payments.*90 %", re.DOTALL),
    ),
    Task("What changed before it?", (INCIDENT,), re.compile("payments deploy: payments 2.4.0 5 min before the onset")),
    Task(
        "What can be done, and how is it undone?",
        (INCIDENT,),
        re.compile("Roll back the last deploy.*Undo: Deploy it again", re.DOTALL),
    ),
    Task(
        "Who was paged, and why them?",
        (INCIDENT, click("Pages", exact=True)),
        "paged Ben Okoro: on call in 'primary' by rotation; step 1 of 1",
    ),
    Task(
        "How did the last incident like this end?",
        (INCIDENT, click("Similar")),
        re.compile(r"Resolved by Ana Sousa after .*cause: payments \(deploy\)"),
    ),
    Task(
        "Which call of a failed request failed first, and with which exception?",
        (INCIDENT, click("Requests", exact=True), click("POST /charge"), click("payments POST /charge")),
        re.compile("payments.*CardRefused", re.DOTALL),
    ),
    Task("Which dependency of web is slow?", (keys("/"), choose("web")), re.compile(r"catalog\s.*3\d\d ms")),
    Task(
        "Which of web's operations is slow?",
        (keys("/"), choose("web")),
        re.compile(r"GET /catalog\s+[\d,]+\s+0 %\s+30 ms\s+1.23 s"),
    ),
    Task("Who calls payments?", (keys("/"), choose("payments")), re.compile("Called by.*orders", re.DOTALL)),
    Task("Which path do failed requests take?", (keys("g t"), click("failed", exact=True)), "web → orders → payments"),
    Task(
        "How many requests took a second or more?",
        (keys("g t"), send("At least", "1s")),
        re.compile(r"\d{3} spans, none failed"),
    ),
    Task(
        "What became of one customer's order?",
        (keys("g t"), send("Attributes", f"order.id={ORDER}"), click("GET /checkout")),
        "card refused by acquirer",
    ),
    Task(
        "Which services log errors, and how many?", (keys("g w"), click("errors and worse")), re.compile(r"\d+ error")
    ),
    Task("Did anything time out?", (keys("g w"), send("Log lines with", '"timed out"')), "timed out after 1200 ms"),
    Task(
        "What do the lines about one bank say?",
        (keys("g w"), send("Log lines with", "acquirer:northbank")),
        re.compile("card refused by acquirer"),
    ),
    Task(
        "Which kind of line is new?",
        (keys("g w"), click("Templates")),
        re.compile(r"new.*card refused by acquirer for order", re.DOTALL),
    ),
    Task(
        "Why is catalog slow, in one question?",
        (keys("g q"), send("Question", "why is catalog slow?")),
        re.compile("catalog.*What was read", re.DOTALL),
    ),
    Task("Is the budget safe until Monday?", (keys("g b"),), "Used up, and nothing comes back within the window"),
    Task(
        "What used the budget up?",
        (keys("g b"), click("Checkout works")),
        re.compile("What used it up.*Of the failures.*payments: 33 % of requests fail", re.DOTALL),
    ),
    Task(
        "Which runbook would help, and has it been tested?",
        (keys("g r"),),
        re.compile("Roll back the service.*none tested", re.DOTALL),
    ),
    Task(
        "Which host's disk fills first?",
        (keys("g e"), click("system.filesystem.utilization"), click("host", exact=True)),
        re.compile(r"Line\s+Last.*?node-3\s+0\.[89]", re.DOTALL),
    ),
    Task("Who sends most?", (keys("g d"),), re.compile(r"web\s+traces\s+[\d.]+/s\s+[\d.]+ MiB\s+3\d %")),
    Task("Whose clock or exporter is late?", (keys("g d"),), re.compile(r"late \d\d min")),
    Task("What ended two days ago?", (keys("g i"), click("Resolved", exact=True)), "resolved by Ana Sousa"),
    Task("Who is on call next week?", (keys("g c"),), "The next two weeks"),
    Task("Which postmortem waits for its author?", (keys("g m"),), re.compile("payments")),
)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Investigated]:
    with investigated(tmp_path_factory.mktemp("investigated")) as running:
        yield running


@pytest.fixture(scope="module")
def reader(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="UTC", locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.question)
def test_an_answer_is_at_most_four_steps_from_the_overview(task: Task, system: Investigated, reader: Page) -> None:
    """The answer that was injected stands on the page at the end of the way."""
    assert len(task.steps) <= MOST_STEPS
    reader.goto(system.url)
    reader.wait_for_selector("#live h1", state="attached")
    for step in task.steps:
        step(reader)
        reader.wait_for_timeout(200)  # the question goes out; then the answer is awaited
        expect(reader.locator("#live[data-dash-is-loading]")).to_have_count(0)
    expect(reader.locator("#live")).to_contain_text(task.answer, use_inner_text=True, timeout=60_000)
