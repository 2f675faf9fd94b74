"""Steps with inputs against what they really reach: an HTTP server, databases, a clock, a human."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from run_parts import ANA
from sqlalchemy import text

from runbooks.bound import bind
from runbooks.library import Library
from runbooks.policy import Policy
from runbooks.program import Program, Retries, StepSpec, program_text
from runbooks.questions import answer_question
from runbooks.recorded_target import Act, RecordedTarget
from runbooks.registry import steps
from runbooks.run_queue import RunQueue
from runbooks.run_rows import Run, read_run
from runbooks.runbook import Runbook
from runbooks.runner import Runner
from runbooks.step import Call, DatabaseAccess, Done, Level, Surroundings, Wait
from runbooks.targets.control_api import ControlApi
from watchkeeper.clock import FrozenClock
from watchkeeper.errors import Conflict, NotFound, RunbookError, TargetError
from watchkeeper.state.audit import audit_trail
from watchkeeper.state.database import Database
from watchkeeper.state.runs import add_run
from watchkeeper.target import TargetSettings
from watchkeeper.vocabulary import Proposal

LEASE = timedelta(seconds=10)


class Server:
    """Answers as its script says, and keeps what it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[Any] = []
        self.bodies: dict[int, bytes] = {}  # of answers, by status
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.command, self.path, dict(self.headers), body))
                answer = outer.answers.pop(0) if outer.answers else 200
                if answer == "lost":
                    self.connection.close()
                    self.close_connection = True
                    return
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                content = outer.bodies.get(status, b"ok")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the server's own names

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def around(**more: Any) -> Surroundings:
    return Surroundings(environment=lambda name: f"secret of {name}", **more)


def ask(kind: str, inputs: dict[str, Any], surroundings: Surroundings, clock: FrozenClock, **more: Any) -> Any:
    bound = bind(kind, inputs, steps())
    call: Call[Any] = Call(
        target=RecordedTarget(()),
        service="cart",
        given=bound.given,
        key="run-1:0:x",
        around=surroundings,
        began=clock.now(),
        **more,
    )
    return bound.run(call)


def test_an_http_call_is_sent_once_with_its_key(server: Server, clock: FrozenClock) -> None:
    """To a host that the policy names, with secrets from variables, which no plan and no record shows."""
    inputs = {
        "url": f"http://{server.host}/freeze?x=1",
        "method": "POST",
        "json": {"service": "cart"},
        "headers_env": {"Authorization": "DEPLOY_TOKEN"},
    }
    did = ask("http", inputs, around(http_hosts=(server.host,)), clock)
    assert (did.outputs["status"], did.outputs["body"]) == (200, "ok")
    ((method, path, headers, body),) = server.requests
    assert (method, path, json.loads(body)) == ("POST", "/freeze?x=1", {"service": "cart"})
    assert (headers["Idempotency-Key"], headers["Authorization"]) == ("run-1:0:x", "secret of DEPLOY_TOKEN")
    assert "secret" not in did.text + bind("http", inputs, steps()).plan("cart", None)


@pytest.mark.parametrize("hosts", [(), ("127.0.0.1:1",), ("localhost",)])
def test_another_host_is_never_called(server: Server, clock: FrozenClock, hosts: tuple[str, ...]) -> None:
    """Not even by another name of the same machine; the message says which key allows it."""
    with pytest.raises(RunbookError, match=r"`http_hosts` in policy\.yaml"):
        ask("http", {"url": f"http://{server.host}/"}, around(http_hosts=hosts), clock)
    assert server.requests == []


def test_a_redirect_is_not_followed(server: Server, clock: FrozenClock) -> None:
    """It could lead to a host that nobody allowed; it is a failure with its number."""
    server.answers = [(302, {"Location": f"http://{server.host}/elsewhere"})]
    with pytest.raises(RunbookError, match=": 302") as failed:
        ask("http", {"url": f"http://{server.host}/"}, around(http_hosts=(server.host,)), clock)
    assert not failed.value.retry
    assert len(server.requests) == 1


@pytest.mark.parametrize(("answer", "retry"), [("lost", True), (500, True), (503, True), (404, False), (409, False)])
def test_what_may_have_happened_is_told_from_a_refusal(
    server: Server, clock: FrozenClock, answer: Any, retry: bool
) -> None:
    """An answer that was lost, or a failure behind a gateway, says nothing about what was done."""
    server.answers = [answer]
    with pytest.raises(RunbookError) as failed:
        ask("http", {"url": f"http://{server.host}/", "method": "POST"}, around(http_hosts=(server.host,)), clock)
    assert failed.value.retry is retry


def run_it(db: Database, clock: FrozenClock, specs: list[StepSpec], target: Any, surroundings: Surroundings) -> Any:
    """A run outside an incident, and a function that gives it another turn."""
    program = Program(steps=tuple(specs))
    book = Runbook(
        id="b", title="t", why="w", mechanisms=("cpu",), after_change=False, program=program, blast_radius="r", undo="u"
    )
    proposal = Proposal(
        runbook="b",
        title="t",
        service="cart",
        steps=(),
        blast_radius="r",
        undo="u",
        actions=program.kinds,
        program=program_text(program),
        arguments={"mechanism": "cpu"},
    )
    with db.write() as connection:
        add_run(connection, "run-1", "", proposal, clock.now())
    library, no_incident = Library(books={"b": book}, policy=Policy(services=("*",))), None

    def turn() -> Run:
        queue: Any = RunQueue(db, clock, LEASE)
        reports: Any = no_incident
        Runner(queue, target, library, reports, sleep=lambda _: None, around=surroundings).turn()
        run = read_run(db, "run-1")
        assert run is not None
        return run

    return turn


def test_a_lost_answer_of_what_cannot_repeat_asks_a_human(db: Database, clock: FrozenClock, server: Server) -> None:
    """It is not sent again by itself; a human who looked says `again`, and it is sent under another key."""
    server.answers = ["lost"]
    post = StepSpec(kind="http", inputs={"url": f"http://{server.host}/pay", "method": "POST"})
    said: list[str] = []
    surroundings = around(http_hosts=(server.host,), notify=lambda text, _key: said.append(text))
    turn = run_it(db, clock, [post], RecordedTarget(()), surroundings)
    run = turn()
    assert (run.state, run.steps[0].state, len(server.requests)) == ("running", "asking", 1)
    assert "watchkeeper runbook answer run-1 happened" in said[0]
    clock.advance(60)
    assert turn().steps[0].state == "asking"
    assert len(said) == 1
    with pytest.raises(Conflict, match="choose one of happened, again, stop"):
        answer_question(db, "run-1", "yes", ANA, clock.now())
    with pytest.raises(NotFound):
        answer_question(db, "run-2", "again", ANA, clock.now())
    answer_question(db, "run-1", "again", ANA, clock.now())
    with pytest.raises(Conflict, match="answered already"):
        answer_question(db, "run-1", "stop", ANA, clock.now())
    clock.advance(60)
    assert turn().state == "done"
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in server.requests]
    assert keys == ["run-1:0:http", "run-1:0:http:1"]
    assert [(entry.action, entry.actor.name) for entry in audit_trail(db)] == [("runbook.answer", "Ana")]


@pytest.mark.parametrize(("choice", "state"), [("yes", "done"), ("no", "failed")])
def test_a_question_waits_for_its_answer(db: Database, clock: FrozenClock, choice: str, state: str) -> None:
    """Other workers have their turns meanwhile; a no undoes what came before; the answer is there for later steps."""
    specs = [
        StepSpec(kind="drain"),
        StepSpec(kind="ask", inputs={"question": "go on with {service}?"}, id="asked"),
        StepSpec(kind="notify", inputs={"text": "{outputs.asked.by}: {outputs.asked.answer}"}),
    ]
    said: list[str] = []
    target = RecordedTarget(("drain", "undrain"))
    turn = run_it(db, clock, specs, target, Surroundings(notify=lambda text, _key: said.append(text)))
    assert turn().steps[1].notes.question == "go on with cart?"
    answer_question(db, "run-1", choice, ANA, clock.now())
    run = turn()  # at once: the answer gave the run free
    assert run.state == state
    assert [act.verb for act in target.done] == (["drain"] if state == "done" else ["drain", "undrain"])
    assert said[1:] == (["Ana: yes"] if state == "done" else [])


def test_nobody_answers(db: Database, clock: FrozenClock) -> None:
    """The time-out counts from the question on, across workers; then the run turns back."""
    specs = [StepSpec(kind="drain"), StepSpec(kind="ask", inputs={"question": "q"}, timeout_s=300)]
    target = RecordedTarget(("drain", "undrain"))
    turn = run_it(db, clock, specs, target, Surroundings())
    for _ in range(4):
        assert turn().state == "running"
        clock.advance(70)
    clock.advance(70)
    run = turn()
    assert (run.state, run.steps[1].state, run.steps[0].state) == ("failed", "failed", "undone")
    assert "nobody answered “q” within 300 s" in run.text


def test_a_failure_is_tried_again_after_growing_pauses(db: Database, clock: FrozenClock) -> None:
    """Each attempt after a refusal has a key of its own, for a target answers an old key with the old refusal."""

    class Refusing(RecordedTarget):
        def act(self, service: str, verb: str, *, key: str, arguments: Any = None) -> str:
            if len({act.key for act in self.asked}) < 2:
                self.asked.append(Act(service=service, verb=verb, key=key))
                raise TargetError("not today")
            return super().act(service, verb, key=key, arguments=arguments)

    target = Refusing(("restart",))
    spec = StepSpec(kind="restart", retries=Retries(times=3, pause_s=4.0, factor=2.0))
    turn = run_it(db, clock, [spec], target, Surroundings())
    assert turn().steps[0].state == "waiting"
    clock.advance(3)
    assert turn().steps[0].notes.tries == 1  # not yet
    clock.advance(2)
    assert turn().steps[0].notes.tries == 2
    clock.advance(5)
    assert turn().state == "running"
    clock.advance(5)
    assert turn().state == "done"
    assert [act.key for act in target.asked] == [f"run-1:0:restart{end}" for end in ("", ":1", ":2")]


def test_a_run_ends_by_its_own_time_out(db: Database, clock: FrozenClock) -> None:
    """However long its steps would wait."""
    specs = [StepSpec(kind="drain"), StepSpec(kind="wait-for", inputs={"seconds": 80_000})]
    target = RecordedTarget(("drain", "undrain"))
    turn = run_it(db, clock, specs, target, Surroundings())
    assert turn().state == "running"
    clock.advance(3700)
    run = turn()
    assert run.state == "failed"
    assert "the run took longer than 3600 s" in run.text
    assert [act.verb for act in target.done] == ["drain", "undrain"]


def test_it_waits_until_users_are_well(clock: FrozenClock) -> None:
    """No request is no good level; both limits must hold."""
    levels = [
        None,
        Level(requests=100, error_share=0.2, p95_ms=100),
        Level(requests=100, error_share=0.0, p95_ms=900),
        Level(requests=100, error_share=0.001, p95_ms=100),
    ]
    surroundings = Surroundings(level=lambda _service, _window: levels.pop(0))
    inputs = {"errors_below": 0.01, "p95_below_ms": 500}
    seen = [ask("wait-for", inputs, surroundings, clock) for _ in range(4)]
    assert [type(one) for one in seen] == [Wait, Wait, Wait, Done]
    assert seen[0].why == "cart served no request within 30 s"
    assert seen[3].outputs["p95_ms"] == 100


def test_it_waits_for_a_query_and_for_time(clock: FrozenClock) -> None:
    """The first value of the first row is compared; a wait ends by the run's clock."""
    answers: list[list[tuple[Any, ...]]] = [[], [(None,)], [(7,)], [(3,)]]
    surroundings = Surroundings(query=lambda _sql: answers.pop(0), now=clock.now)
    inputs = {"query": "SELECT count() FROM jobs", "value": {"lt": 5}}
    assert [type(ask("wait-for", inputs, surroundings, clock)) for _ in range(4)] == [Wait, Wait, Wait, Done]
    began = clock.now()
    bound = bind("wait-for", {"seconds": 30}, steps())
    call: Call[Any] = Call(
        target=RecordedTarget(()), service="s", given=bound.given, key="k", around=surroundings, began=began
    )
    assert bound.run(call) == Wait(why="waits", again_s=30.0)
    clock.advance(30)
    assert isinstance(bound.run(call), Done)


@pytest.fixture
def orders(db: Database, tmp_path: Path) -> Iterator[str]:
    """A database with a table: beside the state's on PostgreSQL, a file of its own on SQLite."""
    url = f"sqlite:///{tmp_path / 'orders.db'}" if db.is_sqlite else db.engine.url.render_as_string(hide_password=False)
    with db.write() as connection:
        if not db.is_sqlite:
            connection.execute(text("DROP TABLE IF EXISTS jobs"))
            connection.execute(text("CREATE TABLE jobs (id integer primary key, note text)"))
            connection.execute(text("INSERT INTO jobs VALUES (1, 'a'), (2, 'b')"))
    if db.is_sqlite:
        import sqlite3

        with sqlite3.connect(tmp_path / "orders.db") as connection:
            connection.executescript(
                "CREATE TABLE jobs (id integer, note text); INSERT INTO jobs VALUES (1,'a'),(2,'b')"
            )
        connection.close()
    yield url
    if not db.is_sqlite:  # the next test may look at all tables that there are
        with db.write() as connection:
            connection.execute(text("DROP TABLE jobs"))


def sql(url: str, clock: FrozenClock, *, allowed: bool = False, **inputs: Any) -> Any:
    surroundings = Surroundings(
        databases={"orders": DatabaseAccess(url_env="ORDERS_URL", write=allowed)}, environment=lambda _name: url
    )
    return ask("sql", {"database": "orders", **inputs}, surroundings, clock)


def test_sql_reads_with_values_as_parameters(orders: str, clock: FrozenClock) -> None:
    """What comes from telemetry is a value, whatever it holds."""
    did = sql(orders, clock, statement="SELECT note FROM jobs WHERE id = :id", parameters={"id": 2})
    assert dict(did.outputs) == {"rows": 1, "value": "b"}
    hostile = sql(
        orders, clock, statement="SELECT note FROM jobs WHERE note = :n", parameters={"n": "a'; DROP TABLE jobs; --"}
    )
    assert dict(hostile.outputs) == {"rows": 0}
    assert sql(orders, clock, statement="SELECT count(*) FROM jobs").outputs["value"] == 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM jobs",
        "UPDATE jobs SET note = 'x'",
        "DROP TABLE jobs",
        "COMMIT; DELETE FROM jobs",
        "SELECT 1; DELETE FROM jobs",
        "CREATE TABLE more (id integer)",
    ],
)
def test_sql_that_only_reads_changes_nothing(orders: str, clock: FrozenClock, statement: str) -> None:
    """Whatever it says, and also where the policy would allow a write that the runbook does not declare."""
    with pytest.raises(RunbookError, match="the database orders"):
        sql(orders, clock, statement=statement, allowed=True)
    assert sql(orders, clock, statement="SELECT count(*) FROM jobs").outputs["value"] == 2


def test_sql_writes_only_where_runbook_and_policy_say_so(orders: str, clock: FrozenClock) -> None:
    """And is never asked again by itself."""
    change = {"statement": "UPDATE jobs SET note = :n WHERE id = 1", "parameters": {"n": "x"}, "write": True}
    with pytest.raises(RunbookError, match=r"databases\.orders\.write in policy\.yaml is not true"):
        sql(orders, clock, **change)
    assert sql(orders, clock, allowed=True, **change).text == "changed 1 rows of the database orders"
    assert sql(orders, clock, statement="SELECT note FROM jobs WHERE id = 1").outputs["value"] == "x"
    bound = bind("sql", {"database": "orders", **change}, steps())
    assert not bound.repeats


def test_sql_ends_by_its_time_out(orders: str, clock: FrozenClock) -> None:
    """A statement without end is ended, and the step fails."""
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n"
    with pytest.raises(RunbookError, match="the database orders"):
        sql(orders, clock, statement=slow, timeout_s=1)


def test_sql_reaches_no_database_that_the_policy_does_not_name(clock: FrozenClock) -> None:
    """And of those, only kinds whose reads can be kept from writing; a URL is in no message."""
    with pytest.raises(RunbookError, match=r"none of `databases` in policy\.yaml"):
        ask("sql", {"database": "orders", "statement": "SELECT 1"}, Surroundings(), clock)
    with pytest.raises(RunbookError, match="a mysql database cannot be used"):
        sql("mysql://u:hidden@h/x", clock, statement="SELECT 1")
    with pytest.raises(RunbookError) as failed:
        sql("hidden nonsense", clock, statement="SELECT 1")
    assert "hidden" not in failed.value.message


def test_a_target_that_does_not_know_whether_it_happened_asks_a_human(
    db: Database, clock: FrozenClock, server: Server
) -> None:
    """An agent that died in the middle of a command says so; the command is not given again by itself."""
    server.bodies = {409: b'{"error": "whether that was done is not known", "unsure": true}'}
    server.answers = [409, 404, 404]
    target = ControlApi(TargetSettings(url=f"http://{server.host}"))
    spec = StepSpec(kind="command", inputs={"name": "flush"}, retries=Retries(times=3))
    turn = run_it(db, clock, [spec], target, Surroundings())
    run = turn()
    assert run.steps[0].state == "asking"
    assert "whether that was done is not known" in run.steps[0].notes.question
    answer_question(db, "run-1", "happened", ANA, clock.now())
    clock.advance(60)
    run = turn()
    assert (run.state, len(server.requests)) == ("done", 1)
    assert run.steps[0].detail == "run the command flush on the host of cart: it happened, says Ana"
