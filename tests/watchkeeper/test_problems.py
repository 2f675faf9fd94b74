"""Items that a loop set aside are counted, named and readable from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.errors import CollectorError
from watchkeeper.problems import FORGOTTEN_AFTER_S, FRESH_S, MOST, SUFFIX, Problems, read_problems
from watchkeeper.text import one_line


def test_a_bad_item_stops_no_other(tmp_path: Path) -> None:
    """The loop goes on, and another process reads which item failed, why, and how often."""
    problems = Problems(tmp_path / f"watch{SUFFIX}")
    done = []
    for _ in range(2):
        for attempt in problems.each("tick", [1, 0, 2], name=lambda n: f"item {n}"):
            with attempt as number:
                done.append(6 // number)
    assert done == [6, 3, 6, 3]
    (problem,) = read_problems(tmp_path)["watch"]
    assert (problem.loop, problem.subject, problem.count) == ("tick", "item 0", 1)  # the second write is throttled
    assert problem.reason.startswith("ZeroDivisionError")
    assert problems.current()[0].count == 2


def test_what_works_again_is_no_problem_any_more(tmp_path: Path) -> None:
    """`solved` takes it away for every reader."""
    problems = Problems(tmp_path / f"ingest{SUFFIX}")
    problems.report("scrape", "node 127.0.0.1:9100", CollectorError("HTTP 500"))
    assert "HTTP 500" in str(problems.summary())
    problems.solved("scrape", "node 127.0.0.1:9100")
    assert problems.summary() is None
    assert read_problems(tmp_path) == {}


def test_an_item_whose_name_fails_is_reported_all_the_same() -> None:
    """The name is as foreign as the item."""
    problems = Problems(None)
    for attempt in problems.each("alerts", [{}], name=lambda item: item["name"]):
        with attempt as item:
            item["labels"]
    assert "cannot be read" in problems.current()[0].subject


def test_a_stop_is_no_bad_item() -> None:
    """KeyboardInterrupt and SystemExit go through."""
    for stop in (KeyboardInterrupt, SystemExit):
        problems = Problems(None)
        (attempt,) = problems.each("tick", [1], name=str)
        with pytest.raises(stop), attempt:
            raise stop
        assert problems.current() == ()


def test_it_forgets_and_stays_small() -> None:
    """Old problems are over, fresh ones make the summary, and a flood keeps the newest."""
    now = [1000.0]
    problems = Problems(None, clock=lambda: now[0])
    for number in range(MOST + 50):
        problems.report("alerts", number, "bad")
    assert len(problems.current()) == MOST
    assert problems.current()[-1].subject == str(MOST + 49)
    now[0] += FRESH_S + 1
    assert problems.summary() is None
    now[0] += FORGOTTEN_AFTER_S
    assert problems.current() == ()


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"a": 1}', '[{"loop": "x"}]', "\x00"])
def test_a_damaged_file_is_no_problem_of_the_reader(tmp_path: Path, content: str) -> None:
    """Nothing in it counts, nothing is raised."""
    (tmp_path / f"watch{SUFFIX}").write_text(content)
    assert read_problems(tmp_path) == {}
    Problems(tmp_path / f"watch{SUFFIX}").report("tick", "x", "y")
    assert len(read_problems(tmp_path)["watch"]) == 1


def test_foreign_text_becomes_one_printable_line() -> None:
    """Control characters, direction marks and half surrogates do nothing there; long text is cut."""
    assert one_line("a\u202eb\x1b[31m\r\nc\ud83d") == "a b [31m c"
    assert one_line("") == "(blank)"
    assert len(one_line("x" * 100_000)) == 300


def test_the_last_count_of_a_burst_reaches_the_file(tmp_path: Path) -> None:
    """Writing is slowed, not forgotten: the next flush writes what came in between."""
    path = tmp_path / "watch.problems.json"
    problems = Problems(path)
    for _ in range(41):
        problems.report("scrape", "node", "redirects")
    problems.flush()
    (known,) = read_problems(tmp_path)["watch"]
    assert known.count == 41


def test_a_flood_in_one_loop_hides_no_other_loop() -> None:
    """A thousand bad alerts: the store that is away is still told."""
    problems = Problems(None)
    problems.report("tick", "the telemetry store", "it is away")
    for number in range(1000):
        problems.report("alerts", f"alert {number}", "bad")
    current = problems.current()
    assert len(current) == 200
    assert current[0].subject == "the telemetry store"
    assert current[-1].subject == "alert 999"
