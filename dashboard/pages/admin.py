"""Admin: tokens, people, the audit trail and its verification, the configuration and where each value comes from."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from dashboard.components.attempts import attempt
from dashboard.components.choices import choice_link, choices
from dashboard.components.elements import Part, card, empty, facts, moment, note, pill, table
from dashboard.components.query_form import Field, query_form
from dashboard.components.wording import count
from dashboard.page import Page, PageRequest
from dashboard.reads.audit import NEWEST
from dashboard.reads.settings import Setting, settings
from watchkeeper.errors import BrokenTrail
from watchkeeper.state.audit import Verified

SHOWN = 50
CHECKED = {
    "ingest": "send telemetry",
    "changes": "report deploys and other changes",
    "commands": "acknowledge, approve and every other command",
    "heartbeats": "report that a system is alive",
    "rota": "change people, teams, schedules and escalation policies",
}
EXPORTS = (
    ("Incidents", "/api/v1/incidents?limit=500", "watchkeeper incident list --json"),
    ("Postmortems", "/api/v1/postmortems", "watchkeeper postmortem search --json"),
    ("Action items", "/api/v1/actions", "watchkeeper postmortem actions --json"),
    ("On call", "/api/v1/oncall", "watchkeeper oncall who --json"),
    ("Status updates", "/api/v1/status/updates", "watchkeeper status list --json"),
    ("Audit trail", "", "watchkeeper audit list --limit 100000 --json"),
    ("State database, to restore elsewhere", "", "watchkeeper backup --to FILE"),
)


def render(request: PageRequest) -> Part:
    """Admin: tokens, people, the audit trail, the configuration and where each value comes from."""
    return [
        html.H1("Admin"),
        note(request.view.problem),
        html.Div(
            [
                html.Div(
                    [
                        attempt("The tokens", lambda: _tokens(request)),
                        attempt("The people", lambda: _people(request)),
                        attempt("The audit trail", lambda: _audit(request)),
                    ],
                    className="wide stack",
                ),
                html.Div(
                    [attempt("The chain of the audit trail", lambda: _chain(request)), _exports()],
                    className="narrow stack",
                ),
            ],
            className="columns",
        ),
        attempt("The configuration", lambda: _configuration(request)),
    ]


def _tokens(request: PageRequest) -> Part:
    config = request.sources.config
    names = request.sources.people
    rows = [
        html.Tr(
            [
                html.Th(token.name, scope="row"),
                html.Td(
                    [pill(scope, "accent" if scope == "commands" else "unknown") for scope in token.scopes],
                    className="line",
                ),
                html.Td(names.get(token.person, token.person) if token.person else "whoever has it"),
            ]
        )
        for token in config.tokens
    ]
    local = html.Tr(
        [
            html.Th("this installation’s own", scope="row"),
            html.Td(pill("every scope", "accent"), className="line"),
            html.Td("whoever can read data_dir/secrets"),
        ]
    )
    return card(
        "Tokens",
        table(["Token", "May", "Acts as"], [*rows, local], caption="Tokens and what each may do"),
        html.P(
            [
                "Only the SHA-256 of a token is kept. To add one: ",
                html.Code("watchkeeper token new --name NAME --scope SCOPE"),
                ". To withdraw one, take it out of ",
                html.Code("tokens"),
                " and restart the roles.",
            ],
            className="hint",
        ),
        html.Details(
            [html.Summary("What a scope allows"), facts(*((scope, f"to {what}") for scope, what in CHECKED.items()))]
        ),
        aside=count(len(config.tokens) + 1, "token"),
    )


def _people(request: PageRequest) -> Part:
    oncall = request.sources.config.oncall
    tokens = request.sources.config.tokens
    rows = []
    for person in oncall.people:
        schedules = [s.id for s in oncall.schedules if any(person.id in layer.people for layer in s.layers)]
        shadows = [s.id for s in oncall.schedules if any(person.id in layer.people for layer in s.shadows)]
        fallback = [s.id for s in oncall.schedules if s.fallback == person.id]
        roles = [
            *(f"on call: {name}" for name in schedules),
            *(f"learns: {name}" for name in shadows),
            *(f"fallback: {name}" for name in fallback),
        ]
        own = [token.name for token in tokens if token.person == person.id]
        rows.append(
            html.Tr(
                [
                    html.Th([person.name, html.Span(f" {person.id}", className="muted")], scope="row"),
                    html.Td(", ".join(roles) or "in no schedule"),
                    html.Td(", ".join(person.addresses) or "none"),
                    html.Td(", ".join(own) or "–"),
                    html.Td(person.timezone),
                ]
            )
        )
    heads = ["Person", "Role", "Reached by", "Token", "Zone"]
    return card(
        "People and roles",
        table(heads, rows, caption="People and what they do"),
        html.P("Whoever is signed in may give commands; without a session, pages can be read.", className="hint"),
        aside=count(len(oncall.people), "person", "people"),
    )


def _audit(request: PageRequest) -> Part:
    view = request.view
    entries = request.sources.audit.newest()
    wanted = view.words.casefold().split()
    hits = [
        entry
        for entry in entries
        if all(
            word in f"{entry.actor.name} {entry.actor.via} {entry.action} {entry.subject} {entry.detail}".casefold()
            for word in wanted
        )
    ]
    form = query_form(view, [Field(name="q", label="Words", placeholder="who, action, subject", wide=True)])
    if not entries:
        body: Part = empty(
            "Nobody has changed anything yet", "Overrides, silences, models and credentials are recorded here."
        )
    elif not hits:
        body = empty(f"No entry about {view.words!r}", "Choose other words.")
    else:
        rows = [
            html.Tr(
                [
                    html.Th(moment(entry.at, request.viewer), scope="row"),
                    html.Td([entry.actor.name, html.Span(f" {entry.actor.via}", className="muted")]),
                    html.Td(entry.action, className="mono"),
                    html.Td(entry.subject),
                    html.Td(entry.detail or "–"),
                ]
            )
            for entry in hits[:SHOWN]
        ]
        body = table(["When", "Who", "Action", "Subject", "Detail"], rows, caption="Audit trail, newest first")
    newest = f"the newest {NEWEST}" if len(entries) == NEWEST else count(len(entries), "entry", "entries")
    return card("Audit trail", form if entries else None, body, aside=newest)


def _chain(request: PageRequest) -> Part:
    """Checked at most once a minute: it reads every entry."""
    advice = html.P(
        [
            "Whoever can write the database can also make a new chain. Note the last digest elsewhere, and check it: ",
            html.Code("watchkeeper audit verify --known DIGEST"),
        ],
        className="hint",
    )
    try:
        verified: Verified = request.sources.audit.verified()
    except BrokenTrail as error:
        return card("Chain", html.P(pill("broken", "failing", "✕")), html.P(error.message), advice)
    return card(
        "Chain",
        html.P([pill("unbroken", "ok", "✓"), f" {count(verified.entries, 'entry', 'entries')}, none changed"]),
        facts(("Last digest", html.Span(verified.digest, className="mono digest"))),
        advice,
    )


def _exports() -> Part:
    items = [
        html.Li([html.A(title, href=path) if path else html.Strong(title), html.Code(command)])
        for title, path, command in EXPORTS
    ]
    return card("Export", html.Ul(items, className="events stacked"))


def _configuration(request: PageRequest) -> Part:
    view, sources = request.view, request.sources
    every = settings(sources.config, sources.config_path)
    chosen = view.choice("origin")
    kept = {"": ("file", "environment"), "default": ("default",)}.get(chosen, ("file", "environment", "default"))
    wanted = view.choice("key").casefold()
    shown = [one for one in every if one.origin in kept and wanted in one.key.casefold()]
    origins = [("", "Set here"), ("default", "Default"), ("all", "All")]
    links = [choice_link(words, view.link(origin=value), on=chosen == value) for value, words in origins]
    form = query_form(view, [Field(name="key", label="Key", placeholder="store.retention_days", wide=True)])
    path = str(sources.config_path) if sources.config_path else "no file: every value is its default"
    return card(
        "Configuration",
        choices(*links),
        form,
        _settings(shown)
        if shown
        else empty("No key to show", "Every value is its default: choose All, or another word of the key."),
        html.P("As this role read it when it started. Secrets are never shown.", className="hint"),
        aside=path,
    )


def _settings(shown: Sequence[Setting]) -> Part:
    marks = {"file": "accent", "environment": "degraded", "default": "unknown"}
    rows = [
        html.Tr(
            [
                html.Th(one.key, scope="row", className="mono"),
                html.Td(one.value),
                html.Td([pill(one.origin, marks[one.origin]), f" {one.place}"]),
            ]
        )
        for one in shown
    ]
    return table(["Key", "Value", "From"], rows, caption="Configuration, by section")


PAGE = Page(path="/admin", title="Admin", render=render, order=90, key="a", section="Platform")
