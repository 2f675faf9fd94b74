"""Experiment files: every mistake has its place, secrets stay inside, and a plan says what would be done."""

from __future__ import annotations

import base64
import copy
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.blast_radius import BlastRadius, callers_of, reserved
from chaos.objectives import budgets_left, burn_rate
from chaos.record import Records
from chaos.running import Notes, own_note
from chaos.surroundings import CONFIG_ENV, Surroundings
from chaos.toolkit.document import check, read_experiment
from chaos.toolkit.journals import kept
from chaos.toolkit.plan import plan
from chaos.toolkit.redaction import HIDDEN, Redactor
from chaos.toolkit.settings import read_settings
from tests.front_door import front_door
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.errors import ChaosError
from watchkeeper.yaml_file import Document

ACTION = {"type": "action", "name": "wait", "provider": {"type": "process", "path": "sleep", "arguments": ["0"]}}
GOOD: dict[str, Any] = {"title": "T", "description": "D", "method": [ACTION]}
LOST = {"type": "python", "module": "no_such", "func": "f"}
UNBALANCED = {"type": "regex", "pattern": "("}
PROBE = {"type": "probe", "name": "look", "tolerance": True, "provider": ACTION["provider"]}


def written(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "experiment.json"
    path.write_text(json.dumps(content, indent=1))
    return path


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"title": " "}, "title", "needs a title"),
        ({"description": None}, "description", "needs a description"),
        ({"method": None}, "method", "needs a method"),
        ({"method": ["wait"]}, "method.0", "has a type (probe or action)"),
        ({"method": [{"ref": "nobody"}]}, "method.0.ref", "is named 'nobody'; there are: none"),
        ({"method": [ACTION, ACTION | {"provider": {"type": "smoke"}}]}, "method.1", "unknown provider type 'smoke'"),
        ({"method": [ACTION | {"provider": {"type": "process", "path": "/no/such"}}]}, "method.0", "cannot be found"),
        ({"method": [ACTION | {"provider": LOST}]}, "method.0", "could not find Python module 'no_such'"),
        ({"rollbacks": [ACTION | {"background": "yes"}]}, "rollbacks.0", "background must be a boolean"),
        ({"steady-state-hypothesis": {"probes": []}}, "steady-state-hypothesis", "needs a title"),
        (
            {"steady-state-hypothesis": {"title": "H", "probes": [PROBE | {"tolerance": UNBALANCED}]}},
            "steady-state-hypothesis.probes.0.tolerance",
            "seems invalid",
        ),
        (
            {"steady-state-hypothesis": {"title": "H", "probes": [ACTION]}},
            "steady-state-hypothesis.probes.0",
            "needs a tolerance",
        ),
        ({"configuration": {"a": {"type": "env", "key": "NO_SUCH_VARIABLE"}}}, "configuration.a", "NO_SUCH_VARIABLE"),
        ({"secrets": {"s": {"t": {"type": "env", "key": "NO_SUCH_VARIABLE"}}}}, "secrets.s.t", "is not set; set it"),
        ({"secrets": {"s": {"t": {"type": "vault", "path": "x"}}}}, "secrets.s.t", "use {type: env, key: VARIABLE}"),
        ({"runtime": {"rollbacks": {"strategy": "perhaps"}}}, "runtime.rollbacks.strategy", "default, always, never"),
        ({"controls": [{"provider": {}}]}, "controls.0", "name"),
        (
            {"extensions": [{"name": "watchkeeper", "abort": {"budget_below": 2}}]},
            "extensions.0.abort.budget_below",
            "less than or equal to 1",
        ),
        ({"extensions": [{"name": "watchkeeper", "service": "a"}]}, "extensions.0.service", "docs/experiments.md"),
        (
            {"extensions": [{"name": "watchkeeper", "abort": {"query": {"sql": "SELECT 1"}}}]},
            "extensions.0.abort.query",
            "name lowest, highest or both",
        ),
        ({"method": [{"ref": ["wait"]}]}, "method.0.ref", "is named ['wait']; there are: none"),
        ({"method": [ACTION | {"pauses": {"after": 1e9}}]}, "method.0.pauses.after", "from 0 to 604800 seconds"),
        ({"secrets": {"s": {"type": "env", "key": 3}}}, "secrets.s", "name the environment variable"),
        ({"runtime": ["always"]}, "runtime", "has hypothesis and rollbacks"),
        ({"runtime": {"rollbacks": "always"}}, "runtime.rollbacks", "write {strategy: NAME}"),
    ],
)  # fmt: skip
def test_each_mistake_names_file_line_and_place(change: dict[str, Any], place: str, words: str, tmp_path: Path) -> None:
    """And what to do; the others are named in the same run."""
    path = written(tmp_path, {**GOOD, **change, "tags": 3})
    with pytest.raises(ChaosError) as refused:
        read_experiment(path)
    first = refused.value.message.splitlines()[0]
    file, line, rest = first.split(":", 2)
    assert file == str(path)
    assert rest.startswith(f" {place}: ")
    assert words in first
    assert place.split(".")[-1] in path.read_text().splitlines()[int(line) - 1] or place[-1].isdigit()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "{}", "ends in .json, .yaml, .yml"),
        ("a.yaml", "title: [", "a.yaml:1: is not YAML"),
        ("a.json", '{"title": \n\t"T",,}', "a.json:2: is not JSON"),
        ("a.json", json.dumps(GOOD | {"tags": 3}), "is no experiment as Chaos Toolkit has it"),
        ("a.json", "[]", "has a title, a description and a method"),
        ("missing.json", None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(name: str, text: str | None, words: str, tmp_path: Path) -> None:
    """Whatever it holds, or does not."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ChaosError) as refused:
        read_experiment(tmp_path / name)
    assert words in refused.value.message
    assert len(refused.value.message.splitlines()) == 1


def test_json_with_tabs_is_an_experiment(tmp_path: Path) -> None:
    """It is no YAML, and other tools take it."""
    (tmp_path / "a.json").write_text(json.dumps(GOOD, indent="\t"))
    assert read_experiment(tmp_path / "a.json").title == "T"


@given(secret=st.text(min_size=6, max_size=40).filter(lambda text: text.strip() == text), user=st.text(max_size=8))
def test_a_secret_is_hidden_in_every_spelling(secret: str, user: str) -> None:
    """Plain, in JSON, in an address, and in a header of basic authentication after any user's name."""
    redactor = Redactor({"scope": {"token": secret}})
    header = base64.b64encode(f"{user}:{secret}".encode("utf-8", "surrogatepass")).decode()
    shown = redactor.anything(
        {secret: [secret, json.dumps(secret), {"header": header}, secret.encode("utf-8", "replace")]}
    )
    text = json.dumps(shown)
    assert secret not in json.loads(text)
    assert HIDDEN in text
    middle = base64.b64encode(secret.encode()).decode()[4:-4]
    assert len(middle) < 6 or middle not in text


ODD: list[Any] = [None, True, -1, 1.5, math.nan, math.inf, 10**400, "", "a", [], {}, [None], {"a": [{}]}, {1: 2}, [[1]]]


def places(part: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in an experiment."""
    pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, inner in pairs:
        yield (*before, key)
        yield from places(inner, (*before, key))


def test_whatever_stands_in_a_file_is_an_experiment_or_one_that_is_refused(tmp_path: Path) -> None:
    """Each part replaced by each odd value: no other error, neither in the check nor in what is made of it."""
    inject = {"type": "python", "module": "chaos.toolkit.actions", "func": "inject",
              "arguments": {"fault": "kill", "service": "a", "seconds": 3, "arguments": {"a": 1}}}  # fmt: skip
    content = {
        **GOOD,
        "configuration": {"a": {"type": "env", "key": "HOME"}},
        "secrets": {"s": {"t": {"type": "env", "key": "HOME"}}},
        "runtime": {"hypothesis": {"strategy": "default"}},
        "steady-state-hypothesis": {"title": "H", "probes": [PROBE]},
        "method": [ACTION | {"pauses": {"before": 1}}, ACTION | {"name": "i", "provider": inject}, {"ref": "i"}],
        "rollbacks": [ACTION],
        "extensions": [{"name": "watchkeeper", "services": ["a"], "abort": {"hypothesis": True}}],
    }
    for place, odd in itertools.product(places(content), ODD):
        tree = copy.deepcopy(content)
        holder: Any = tree
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = odd
        try:
            experiment = check(Document(path=tmp_path / "a.yaml", data=tree))
        except ChaosError:
            continue
        plan(experiment, Surroundings(shop=tmp_path / "no shop"))
        Notes(tmp_path).write(own_note("a", title="", source="", radius="", content=experiment.content))
        assert (experiment.digest, experiment.strategy("rollbacks")) == (experiment.digest, None), (place, odd)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "settings are names and values"),
        ("runtime: x", "runtime: runtime has hypothesis and rollbacks"),
        ("runtime: {rollbacks: {strategy: [1]}}", "runtime.rollbacks.strategy: there is no strategy [1]"),
        ("controls: {a: 3}", "controls: each has a name"),
        ("controls: {a: {provider: 3}}", "controls cannot be loaded"),
        ("a: [", "cannot be read"),
        ("a: 2026-13-45", "cannot be read"),
    ],
)
def test_settings_that_are_none_are_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    """The library's own file is a human's file, too; without one, or with an empty one, nothing is set."""
    file = tmp_path / "settings.yaml"
    assert read_settings(file=str(file)) == {"controls": {}}
    file.write_text(text)
    with pytest.raises(ChaosError) as refused:
        read_settings(file=str(file))
    assert refused.value.message.startswith(f"{file}: ")
    assert words in refused.value.message
    file.write_text("controls:\nruntime: {rollbacks: }\n")
    assert read_settings(file=str(file))["controls"] == {}


def test_records_that_cannot_be_read_hide_no_others(tmp_path: Path) -> None:
    """Somebody edited them, or another version wrote them."""
    good = {"id": "a", "title": "t", "source": "s", "start": 1.0, "status": "completed"}
    (tmp_path / "journals").mkdir()
    for number, odd in enumerate((None, [], {**good, "start": "x"}, {**good, "start": None}, good)):
        (tmp_path / "journals" / f"{number}.json").write_text(json.dumps({"watchkeeper": odd}))
    assert [each.title for each in kept(tmp_path)] == ["t"]
    truth = {"id": "a", "fault": "kill", "target": "web", "mechanism": "killed", "injected_at": 1.0, "effect_at": 2.0,
             "took_effect": True, "ended_at": 3.0, "detail": "d"}  # fmt: skip
    rows = [{**truth, "injected_at": "x"}, {**truth, "mechanism": 3}, {"fault": 3}, [1], {**truth, "of_later": 1}]
    (tmp_path / "chaos-truth.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "chaos-journal.jsonl").write_text('{"effect": 3}\n{"effect": {"proved": 1}}\nnull\n')
    assert [row.injected_at for row in Records(tmp_path).truths()] == [1.0]
    assert Records(tmp_path).history() == ()


def test_a_result_with_keys_of_any_kind_is_kept() -> None:
    """What an action returns goes into the journal, whatever it is."""
    assert Redactor().anything({("a", 1): 2, None: 3, b"b": 4}) == {"('a', 1)": 2, None: 3, "b": 4}


def test_a_plan_lists_everything_and_touches_nothing(tmp_path: Path) -> None:
    """Names of variables stand for their values; an unknown radius is said to be one."""
    action = {"type": "action", "name": "call", "background": True, "pauses": {"after": 5},
              "provider": {"type": "http", "url": "http://127.0.0.1:1/${path}", "method": "delete"}}  # fmt: skip
    content = {**GOOD, "method": [action, {"ref": "call"}], "rollbacks": [ACTION]}
    outline = plan(read_experiment(written(tmp_path, content)), Surroundings())
    text = outline.text()
    assert text.count("DELETE http://127.0.0.1:1/${path}; in the background; pause after 5 s") == 2
    assert "run sleep 0" in text
    assert "whatever its actions reach" in text
    assert not outline.radius.is_known
    named = {**content, "extensions": [{"name": "watchkeeper", "services": ["cart"]}]}
    assert plan(read_experiment(written(tmp_path, named)), Surroundings()).radius.describe() == "cart"


def test_a_plan_is_about_the_values_of_variables(tmp_path: Path) -> None:
    """Those of the configuration, or those that a command gives: this is what is broken, and what must be free."""
    arguments = {"fault": "kill", "service": "${service}", "seconds": "${seconds}"}
    provider = {"type": "python", "module": "chaos.toolkit.actions", "func": "inject", "arguments": arguments}
    content = {
        **GOOD,
        "configuration": {"service": "cart", "seconds": "3"},
        "method": [ACTION | {"provider": provider}],
    }
    experiment = read_experiment(written(tmp_path, content))
    here = Surroundings(shop=tmp_path / "no shop")
    assert plan(experiment, here).radius.broken == {"cart"}
    assert plan(experiment, here, {"service": "web"}).radius.broken == {"web"}
    assert "seconds must be a number" not in plan(experiment, here).text()
    assert "seconds must be a number, not many" in plan(experiment, here, {"seconds": "many"}).text()


def test_the_radius_holds_whoever_calls(tmp_path: Path) -> None:
    """Directly and through others; callees are not harmed by it."""
    calls = [("web", "orders"), ("orders", "payments"), ("payments", "bank"), ("jobs", "stock"), ("orders", "web")]
    assert callers_of({"payments"}, calls) == {"orders", "web"}
    assert callers_of({"stock", "bank"}, calls) == {"jobs", "payments", "orders", "web"}


class Served:
    """A store in which each service had so many requests and failures."""

    def __init__(self, **counts: tuple[float, float]) -> None:
        self._counts = counts

    def served(self, service: str, operation: str, window: object) -> pa.Table:
        total, bad = self._counts[service]
        return (
            pa.table({"minute": [0], "total": [total], "bad": [bad]}) if total else pa.table({"total": [], "bad": []})
        )


def test_budgets_left_are_counted_as_detection_counts_them(tmp_path: Path) -> None:
    """1 % may fail: half of that leaves half; none measured without requests; unknown names are refused."""
    path = tmp_path / "slo.yaml"
    path.write_text("\n---\n".join(SLO.replace("NAME", name) for name in ("orders", "idle")))
    config = Config.model_validate({"slo": [str(path)]})
    store: Any = Served(orders=(1000, 5), idle=(0, 0))
    left = budgets_left(config, store, SystemClock().now())
    assert left == {"orders": pytest.approx(0.5), "idle": None}
    with pytest.raises(ChaosError, match="no objective 'other' under `slo`; there are: orders, idle"):
        budgets_left(config, store, SystemClock().now(), ("other",))
    # Half a per cent fails where one may: the budget lasts twice as long as it must.
    assert burn_rate(config, store, SystemClock().now(), "orders", 60) == pytest.approx(0.5)
    assert burn_rate(config, store, SystemClock().now(), "idle", 60) is None
    with pytest.raises(ChaosError, match="no objective 'order' under `slo`; did you mean orders"):
        burn_rate(config, store, SystemClock().now(), "order", 60)


def test_unknown_objectives_are_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `validate` with a configuration and by `plan`, wherever the experiment names one."""
    monkeypatch.delenv(CONFIG_ENV, raising=False)
    (tmp_path / "slo.yaml").write_text(SLO.replace("NAME", "orders"))
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\nslo: [slo.yaml]\n")

    def probe(func: str, objective: str) -> dict[str, Any]:
        provider = {"type": "python", "module": "chaos.toolkit.probes", "func": func}
        arguments = {"arguments": {"objective": objective}}
        return {"type": "probe", "name": func, "tolerance": True, "provider": provider | arguments}

    content = {
        "title": "t",
        "description": "d",
        "steady-state-hypothesis": {"title": "well", "probes": [probe("met", "order"), probe("slo", "orders")]},
        "method": [],
        "rollbacks": [],
        "extensions": [{"name": "watchkeeper", "abort": {"incidents": False, "budgets": ["ordres"]}}],
    }
    file = tmp_path / "e.json"
    file.write_text(json.dumps(content))
    run = front_door(monkeypatch, capsys)
    assert run("chaos", "validate", str(file))[0] == 0
    status, _, err = run("chaos", "validate", str(file), "--config", str(config))
    assert status == 1
    assert "steady-state-hypothesis: met: no objective 'order' under `slo`; did you mean orders?" in err
    assert "abort.budgets: no objective 'ordres' under `slo`; did you mean orders?" in err
    status, out, _ = run("chaos", "plan", str(file), "--config", str(config))
    assert (status, "Refused: " in out, "did you mean orders?" in out) == (1, True, True)


def test_a_reservation_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by an error; within one experiment nothing is reserved twice."""
    radius = BlastRadius(broken=frozenset({"a service of this test"}), system=str(tmp_path))
    for _ in range(2):
        with pytest.raises(ChaosError, match="failed"), reserved(radius), reserved(radius):
            raise ChaosError("failed")


SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: NAME}
spec:
  service: NAME
  budgetingMethod: Occurrences
  timeWindow: [{duration: 4w, isRolling: true}]
  indicator:
    metadata: {name: NAME-that-succeed}
    spec:
      ratioMetric:
        good: {metricSource: {type: watchkeeper, spec: {service: NAME, signal: successes}}}
        total: {metricSource: {type: watchkeeper, spec: {service: NAME, signal: calls}}}
  objectives: [{target: 0.99}]
"""
