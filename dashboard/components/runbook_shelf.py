"""The runbooks: what each is for and does, who must approve it, what it may touch, and what experiments have shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dash import dcc, html

from dashboard.components.attempts import attempt
from dashboard.components.elements import Part, card, empty, facts, moment, pill, table
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count, listed
from dashboard.page import PageRequest
from dashboard.viewer import Viewer
from runbooks.library import Library
from runbooks.policy import ApprovalRule
from runbooks.proof import Proof
from runbooks.propose import proposal_of
from runbooks.runbook import Runbook
from runbooks.wording import bound_for_plan
from watchkeeper.durations import duration
from watchkeeper.errors import StoreError
from watchkeeper.text import prose, seen_name

BOOK = "runbook"  # the choice of the address
ANY = "the service"  # stands where a service's name would
MOST_OFFERED = 200


def shelf_card(request: PageRequest, library: Library) -> Part:
    """Every runbook in a row."""
    if not library.books:
        return card(
            "Runbooks",
            empty(
                "There is no runbook",
                ["Check the folder with ", html.Code("watchkeeper runbook validate"), "."],
            ),
        )
    proofs = request.sources.runbooks.proofs()
    rows = [_row(book, library, proofs.get(book.id, Proof()), request) for book in library.books.values()]
    heads = ["Runbook", "For", "Runs without a human", "Repaired faults", "Last tested"]
    body = table(heads, rows, caption="Runbooks", numbers=("Repaired faults",))
    touch = (
        f"May touch: {listed([seen_name(name) for name in library.policy.services])}."
        if library.policy.services
        else ("May touch no service yet: name some under services in the folder’s policy.yaml.")
    )
    return card("Runbooks", html.P(touch, className="muted lead"), body, aside=count(len(library.books), "runbook"))


def _row(book: Runbook, library: Library, proof: Proof, request: PageRequest) -> Part:
    view = request.view
    is_open = view.choice(BOOK) == book.id
    alone = book.id in library.policy.autonomous.runbooks
    after = " after a change" if book.after_change else ""
    return html.Tr(
        [
            html.Th(
                [
                    dcc.Link(_about(book.title), href=view.link(**{BOOK: None if is_open else book.id})),
                    html.Div(book.id, className="reason mono"),
                ],
                scope="row",
            ),
            html.Td(f"{', '.join(book.mechanisms)}{after}"),
            html.Td(pill("where proved", "accent", "◆") if alone else "never"),
            html.Td(f"{proof.successes} of {len(proof.runs)}" if proof.runs else "none tested", className="number"),
            html.Td(moment(proof.newest, request.viewer, relative=True) if proof.newest else "–"),
        ],
        className="chosen-row" if is_open else "",
        tabIndex=0,
        **{"data-row": ""},
    )


def _about(text: str) -> str:
    words = prose(text.replace("{service}", ANY))
    return words[:1].upper() + words[1:]


def book_card(request: PageRequest, book: Runbook, library: Library) -> Part:
    """One runbook: its steps in words, what it needs, who approves, its proof, and a plan for a service."""
    proof = request.sources.runbooks.proofs().get(book.id, Proof())
    return card(
        _about(book.title),
        html.P(_about(book.why)),
        html.Div(
            [
                html.Div([html.H3("Steps"), attempt("The steps", lambda: _steps(book))], className="half"),
                html.Div([_facts(book, library, proof, request.viewer)], className="half"),
            ],
            className="columns even",
        ),
        html.H3("Dry run", className="lead"),
        html.P(
            "What it would do to one service, and whether it could run now. Nothing is touched.", className="muted lead"
        ),
        query_form(
            request.view,
            [Field(name="service", label="Service", placeholder="payments", offers=_services(request))],
            words="Plan",
        ),
        attempt("The plan", lambda: _plan(request, book)),
        aside=dcc.Link("Close", href=request.view.link(**{BOOK: None})),
        kind="book",
    )


def _services(request: PageRequest) -> Sequence[str]:
    """The services of the time range, to choose from; any other may be written, so none if the store is away."""
    try:
        return request.sources.traffic.services(request.view.window(request.viewer.now))[:MOST_OFFERED]
    except StoreError:
        return ()


def _steps(book: Runbook) -> Part:
    steps = proposal_of(book, ANY, {"service": ANY}).steps
    return html.Ol([html.Li(step) for step in steps], className="steps")


def _facts(book: Runbook, library: Library, proof: Proof, viewer: Viewer) -> Part:
    rows: list[tuple[str, Part]] = [
        ("For", ", ".join(book.mechanisms) + (" after a change" if book.after_change else "")),
        ("Needs", _needs(book)),
        ("Approval", _approval(library.policy.rule_for(book.id))),
        ("Without a human", _alone(book, library)),
        ("Blast radius", _about(book.blast_radius)),
        ("Undo", _about(book.undo)),
        ("Proof", proof.line(viewer.now)),
    ]
    if proof.runs:
        rows.append(("By service", _by_service(proof)))
    return facts(*rows)


def _needs(book: Runbook) -> str:
    """The verbs that a target must take."""
    needed: set[str] = set()
    for spec in book.program.steps:
        needed |= bound_for_plan(spec, ANY, {"service": ANY}).needs
    return f"a target that takes {listed(sorted(needed))}" if needed else "no target"


def _approval(rule: ApprovalRule) -> str:
    who = listed([seen_name(name) for name in (*rule.people, *rule.schedules)]) or "anybody who may give commands"
    people = count(rule.count, "person", "people")
    return f"{people}: {who}; it stands for {duration(rule.stands_s)}"


def _alone(book: Runbook, library: Library) -> str:
    rule = library.policy.autonomous
    if book.id not in rule.runbooks:
        return "never: policy.yaml does not name it under autonomous"
    where = listed([seen_name(name) for name in rule.services]) or "no service"
    proof = rule.proof
    return (
        f"on {where}, if {proof.success_rate:.0%} of {proof.runs} tests or more in {proof.newer_than_days:g} days "
        f"repaired their fault; at most {rule.rate.runs} in {rule.rate.hours:g} h, and not after "
        f"{count(rule.breaker.failures, 'failure')} in a row"
    )


def _by_service(proof: Proof) -> Part:
    grouped: Mapping[str, Proof] = {name: proof.of(name) for name in sorted({run.service for run in proof.runs})}
    return html.Ul([html.Li(f"{seen_name(name)}: {one.successes} of {len(one.runs)}") for name, one in grouped.items()])


def _plan(request: PageRequest, book: Runbook) -> Part:
    service = request.view.service
    if not service:
        return None
    plan = request.sources.runbooks.plan(book, service)
    state = (
        html.P([pill("cannot run now", "degraded", "▲"), " ", prose(plan.blocked), "."])
        if plan.blocked
        else html.P([pill("can run now", "ok", "●"), " It runs when an incident proposes it and somebody approves."])
    )
    steps = [
        html.Li([html.Div(prose(step)), html.Div(["Undo: ", prose(undo)], className="reason")])
        for step, undo in plan.steps
    ]
    return html.Div(
        [
            html.P(html.Strong(prose(plan.title))),
            state,
            html.Ol(steps, className="steps"),
            html.P(prose(plan.blast_radius), className="muted"),
        ],
        className="plan",
    )
