"""Runbook files: typed steps are checked with file, line and key; one runbook includes another; old files work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.bound import is_typed
from runbooks.condition import condition_mistakes, holds, read_condition
from runbooks.placeholders import fill
from runbooks.program import Program, Retries, StepSpec, program_of, program_text
from runbooks.registry import steps
from runbooks.runbook import read_runbook, read_runbooks
from watchkeeper.errors import RunbookError
from watchkeeper.vocabulary import Proposal

HEAD = "id: {id}\ntitle: t {{service}}\nwhy: w\nmechanisms: [cpu]\nblast_radius: b\nundo: u\nsteps:\n"


def book(folder: Path, name: str, steps: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(HEAD.format(id=name) + steps)
    return path


def test_a_file_of_names_works_as_before(tmp_path: Path) -> None:
    """And has no program beside the names: proposals keep their ids."""
    read = read_runbook(book(tmp_path, "old", "  [restart, verify]\n"))
    assert read.steps == ("restart", "verify")
    assert program_text(read.program) == ""


def test_every_option_is_read(tmp_path: Path) -> None:
    """As written, and the same again from the text that a proposal carries."""
    text = """\
  - scale: {to: 4, back_to: 2}
    id: more
    when: {mechanism: [cpu, memory]}
    service: cart
    timeout_s: 60
    retries: {times: 2, pause_s: 5}
  - notify: {text: "{outputs.more.instances} of {service}, {\\"a\\": 1}"}
"""
    program = read_runbook(book(tmp_path, "new", text)).program
    first = program.steps[0]
    assert (first.id, first.service, first.timeout_s) == ("more", "cart", 60)
    assert first.retries == Retries(times=2, pause_s=5, factor=2)
    assert program.services("web") == {"cart", "web"}
    proposal = Proposal(
        runbook="new", title="t", service="web", steps=(), blast_radius="b", undo="u", program=program_text(program)
    )
    assert program_of(proposal) == program
    assert json.loads(proposal.program)["steps"][0]["inputs"] == {"to": 4, "back_to": 2}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("  - restart: {now: true}\n", 8, "steps.0.restart: restart takes no inputs, not now"),
        ("  - restart\n  - scale: {to: many}\n", 9, "steps.1.scale.to: "),
        ("  - scale:\n      to: 1\n      bakc_to: 2\n", 10, "steps.0.scale.bakc_to: no such key"),
        ("  - restart: {}\n    whem: 3\n", 8, "steps.0: must name one step beside id, when"),
        ("  - id: x\n", 8, "steps.0: must name one step"),
        ("  - 3\n", 8, "steps.0: must be a step's name, or a mapping"),
        ("  - restart: {}\n    timeout_s: -1\n", 9, "steps.0.timeout_s: "),
        ("  - restart: {}\n    retries: {times: 0}\n", 9, "steps.0.retries.times: "),
        ("  - restart: {}\n    when: {mechanism: {near: 3}}\n", 8, "when: mechanism: there is no comparison 'near'"),
        ("  - restart: {}\n    when: {mechansim: cpu}\n", 8, "'mechansim' is not known"),
        ("  - restart: {}\n    when: {outputs.a.b: 1}\n", 8, "no earlier step has this id"),
        ('  - restart: {}\n    service: "{service}-2"\n', 9, "steps.0.service: must be a service's own name"),
        ('  - notify: {text: "{servce}"}\n', 8, "{servce}: 'servce' is not known"),
        ("  - restart: {}\n    id: a\n  - start: {}\n    id: a\n", 10, "'a' is an earlier step's"),
        ("  - sql: {database: x, statement: \"select '{service}'\"}\n", 8, "must not stand in a statement"),
        ('  - http: {url: "http://{service}/x"}\n', 8, "the host must stand as it is"),
        ('  - http: {url: "http://u:p@h/x"}\n', 8, "holds a credential"),
        ('  - http: {url: "http://h:99999/x"}\n', 8, "steps.0.http.url: Port out of range"),
        ("  - restart\n  - scale\n", 9, "steps.1.scale.to: is required"),
        ('  - clear-disk: {pattern: "/*"}\n', 8, "is too wide"),
        ('  - clear-disk: {pattern: "/var/../etc/*.x"}\n', 8, "without `..`"),
        ('  - clear-disk: {pattern: "/var/log/*"}\n', 8, "is too wide"),
        ("  - wait-for: {}\n", 8, "wait for one thing"),
        ('  - wait-for: {query: "SELECT 1"}\n', 8, "value: "),
        ("  - ask: {question: q, stop_on: [maybe]}\n", 8, "maybe is none of the choices"),
        ('  - command: {name: "rm -rf /"}\n', 8, "steps.0.command.name: "),
        ("  - explode\n", 8, "no step 'explode'; there are ask, "),
        ("  - runbook: nowhere\n", 8, "no runbook 'nowhere' in this folder"),
        ("  - runbook: bad\n", 8, "includes itself: bad → bad"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    """The line of the key, what is wrong with it, and what may stand there."""
    path = book(tmp_path, "bad", text)
    with pytest.raises(RunbookError) as refused:
        read_runbooks(tmp_path)
    assert refused.value.message.startswith(f"{path}:{line}: steps."), refused.value.message
    assert says in refused.value.message


def test_every_mistake_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    """So that nobody corrects a file ten times."""
    book(tmp_path, "bad", "  - explode\n  - scale: {to: x}\n  - restart: {}\n    whem: 1\n")
    with pytest.raises(RunbookError) as refused:
        read_runbooks(tmp_path)
    assert len(refused.value.message.splitlines()) == 3


def test_a_runbook_is_inserted_with_its_condition(tmp_path: Path) -> None:
    """Both conditions must hold; steps before it can be referred to from within."""
    book(tmp_path, "outer", "  - start\n  - runbook: inner\n    when: {mechanism: cpu}\n  - verify\n")
    book(tmp_path, "inner", "  - restart: {}\n    when: {service: cart}\n  - stop\n")
    program = read_runbooks(tmp_path)["outer"].program
    assert program.kinds == ("start", "restart", "stop", "verify")
    assert program.steps[1].when == {"all": [{"mechanism": "cpu"}, {"service": "cart"}]}
    assert program.steps[2].when == {"mechanism": "cpu"}


def test_runbooks_within_runbooks_end(tmp_path: Path) -> None:
    """A cycle is named as one, a chain that is too deep is refused, and so are steps without end."""
    book(tmp_path, "a", "  - runbook: b\n")
    book(tmp_path, "b", "  - runbook: a\n")
    with pytest.raises(RunbookError, match="includes itself: a → b → a"):
        read_runbooks(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    book(tmp_path, "n0", "  - start\n")
    for depth in range(1, 8):
        book(tmp_path, f"n{depth}", f"  - runbook: n{depth - 1}\n")
    with pytest.raises(RunbookError, match="more than 5 runbooks within each other"):
        read_runbooks(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    book(tmp_path, "n0", "  - start\n" * 20)
    book(tmp_path, "n1", "  - runbook: n0\n" * 20)
    with pytest.raises(RunbookError, match="more than 100 steps"):
        read_runbooks(tmp_path)


def test_ids_are_one_space_across_inserted_runbooks(tmp_path: Path) -> None:
    """An id of an inserted runbook can be used after it, and must not be there twice."""
    book(tmp_path, "inner", "  - ask: {question: q}\n    id: asked\n")
    book(tmp_path, "outer", "  - runbook: inner\n  - stop: {}\n    when: {outputs.asked.answer: 'yes'}\n")
    assert read_runbooks(tmp_path)["outer"].program.steps[1].when == {"outputs.asked.answer": "yes"}
    book(tmp_path, "outer", "  - runbook: inner\n  - stop: {}\n    when: {outputs.other.answer: 'yes'}\n")
    with pytest.raises(RunbookError, match="the step 'other', and no earlier step has this id"):
        read_runbooks(tmp_path)
    book(tmp_path, "outer", "  - runbook: inner\n  - runbook: inner\n")
    with pytest.raises(RunbookError, match="'asked' is also a step's at"):
        read_runbooks(tmp_path)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (None, True),
        ({"mechanism": "cpu"}, True),
        ({"mechanism": "hung"}, False),
        ({"mechanism": ["hung", "cpu"]}, True),
        ({"mechanism": {"ne": "hung"}}, True),
        ({"outputs.a.n": {"ge": 3, "lt": 4}}, True),
        ({"outputs.a.n": {"gt": 3}}, False),
        ({"outputs.a.text": {"gt": 3}}, False),
        ({"outputs.a.flag": True}, True),
        ({"outputs.a.flag": 1}, False),
        ({"outputs.a.missing": {"ne": 1}}, False),
        ({"not": {"outputs.a.missing": 1}}, True),
        ({"any": [{"mechanism": "hung"}, {"outputs.a.n": 3}]}, True),
        ({"all": [{"mechanism": "cpu"}, {"outputs.a.n": 4}]}, False),
        ({"mechanism": "cpu", "service": "web"}, False),
    ],
)
def test_conditions(when: Any, expected: bool) -> None:
    """What is missing holds in no comparison; a number is no text, and true is not 1."""
    facts = {"mechanism": "cpu", "service": "cart", "outputs.a.n": 3, "outputs.a.text": "9", "outputs.a.flag": True}
    assert when is None or list(condition_mistakes(when, frozenset({"a"}))) == []
    assert holds(when, facts) is expected
    assert when is None or read_condition(when)


NAMES = ["any", "all", "not", "mechanism", "steps.a", "eq", "lt", "x"]
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)


@given(st.recursive(LEAVES, nested, max_leaves=12))
def test_no_condition_breaks_the_reader(when: Any) -> None:
    """Whatever is written: mistakes, or a condition that can be judged and read."""
    if not list(condition_mistakes(when, frozenset({"a"}))):
        holds(when, {"mechanism": "cpu"})
        read_condition(when)


def test_only_names_in_braces_are_placeholders() -> None:
    """Queries and JSON keep their braces; a plan leaves what is not known yet."""
    facts = {"service": "cart{mechanism}", "mechanism": "cpu", "outputs.a.ok": True}
    text = 'sum(x{service="{service}"}) {outputs.a.ok} {"a": 1} {}'
    assert fill(text, facts) == 'sum(x{service="cart{mechanism}"}) true {"a": 1} {}'
    assert fill({"a": ["{outputs.b.c}"]}, facts, leave=True) == {"a": ["{outputs.b.c}"]}
    with pytest.raises(RunbookError, match="is not known"):
        fill("{outputs.b.c}", facts)


def test_every_typed_step_is_documented() -> None:
    """docs/runbooks.md names every step, and every input of it."""
    text = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text()
    for name, step in steps().items():
        rows = [line for line in text.splitlines() if line.startswith("|")]
        row = next((line for line in rows if f"`{name}`" in line.split("|")[1]), "")
        assert row, f"no row for {name}"
        if is_typed(step):
            missing = [
                field.alias or key
                for key, field in step.inputs.model_fields.items()
                if f"`{field.alias or key}`" not in row
            ]
            assert missing == [], f"{name}: {missing}"


def test_a_program_of_another_version_is_refused_in_words() -> None:
    """A row that was written by hand or by a later version stops the run with a sentence."""
    for text in ("{", '{"steps": [{"kind": "a", "colour": 1}], "timeout_s": 1}', '{"steps": 3}'):
        proposal = Proposal(runbook="b", title="t", service="s", steps=(), blast_radius="b", undo="u", program=text)
        with pytest.raises(RunbookError, match="the steps of b cannot be read"):
            program_of(proposal)
    assert Program(steps=(StepSpec(kind="a"),)).kinds == ("a",)
