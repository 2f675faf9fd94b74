"""What breaks after the start keeps no role from starting again: it is set aside, named, and the rest works."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.slo.preflight import readable_objectives
from runbooks.preflight import readable_runbooks
from watchkeeper.errors import ConfigError
from watchkeeper.problems import Problems
from watchkeeper.roles.preflight import SUPERVISED, load_for, supervised

SOURCE = "{metricSource: {type: watchkeeper, spec: {service: checkout, signal: %s}}}"
RATIO = f"{{ratioMetric: {{good: {SOURCE % 'successes'}, total: {SOURCE % 'calls'}}}}}"
SLI = f"apiVersion: openslo/v1\nkind: SLI\nmetadata: {{name: my-sli}}\nspec: {RATIO}\n"


def slo(name: str) -> str:
    return (
        f"apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: {name}}}\nspec:\n"
        "  timeWindow: [{duration: 28d, isRolling: true}]\n  indicatorRef: my-sli\n  objectives: [{target: 0.99}]\n"
    )


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """An objective, another, and the indicator of both."""
    made = [tmp_path / name for name in ("a.yaml", "b.yaml", "sli.yaml")]
    for path, text in zip(made, (slo("a"), slo("b"), SLI), strict=True):
        path.write_text(text)
    return made


@pytest.mark.parametrize("broken", ["", "[", "kind: SLO\n", "\udcff", slo("b")])
def test_a_broken_objective_is_set_aside_and_comes_back(paths: list[Path], broken: str) -> None:
    """The others are followed; once the file is right again, the problem is over."""
    problems = Problems(None)
    good = paths[0].read_text()
    paths[0].write_bytes(broken.encode(errors="surrogateescape"))
    if broken == slo("b"):  # a name twice: the second of them is the one that is wrong
        assert len(readable_objectives(paths, problems)) == 1
    else:
        assert [one.name for one in readable_objectives(paths, problems)] == ["b"]
        assert [(one.loop, one.subject) for one in problems.current()] == [("configuration", str(paths[0]))]
    paths[0].write_text(good)
    assert [one.name for one in readable_objectives(paths, problems)] == ["a", "b"]
    assert problems.current() == ()


def test_what_needs_a_broken_file_goes_with_it(paths: list[Path]) -> None:
    """Without its indicator no objective can be measured: all are named, and nothing is raised."""
    problems = Problems(None)
    paths[2].unlink()
    assert readable_objectives(paths, problems) == ()
    assert {one.subject for one in problems.current()} == {str(path) for path in paths}


def test_broken_runbooks_touch_nothing(tmp_path: Path) -> None:
    """A folder that went away leaves no runbook, and the built-in ones do not take its place."""
    problems = Problems(None)
    library = readable_runbooks(tmp_path / "nowhere", problems)
    assert (dict(library.books), library.policy.services) == ({}, ())
    assert [one.subject for one in problems.current()] == [str(tmp_path / "nowhere")]
    assert readable_runbooks(None, problems).books


def test_only_a_role_under_its_supervisor_starts_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand somebody is there to mend the file; what is not optional is refused either way."""
    monkeypatch.delenv(SUPERVISED, raising=False)
    file = tmp_path / "w.yaml"
    file.write_text("slo: [nowhere.yaml]\n")
    assert not supervised()
    with pytest.raises(ConfigError, match=r"w\.yaml:1: slo\.0: "):
        load_for(file, "watch")
    assert load_for(file, "watch", optional=False).slo
    file.write_text("slo: [nowhere.yaml]\ndata_dir: /dev/null/x\n")
    with pytest.raises(ConfigError, match="data_dir"):
        load_for(file, "watch", optional=False)
