"""The state database's tables; the same on SQLite and PostgreSQL.

Times are Unix microseconds, so that both databases compare and order them alike. Bodies are JSON text. `String`, `Text`
and `BigInteger` are our own (`watchkeeper.state.columns`): they make hostile values fit.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, Table, UniqueConstraint

from watchkeeper.state.columns import BigInteger, String, Text

metadata = MetaData()

# SQLite only numbers rows by itself when the key is INTEGER.
_Serial = sa.BigInteger().with_variant(Integer, "sqlite")

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("system_state", String(16), nullable=False),
    Column("human_state", String(16), nullable=False),
    Column("severity", String(16), nullable=False, server_default="page"),
    Column("level", String(8), nullable=False, server_default=""),  # SEV1 to SEV4
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("body", Text, nullable=False),
    Index("incidents_by_state", "human_state", "opened_at"),
    Index("incidents_by_end", "ended_at"),
)
incident_events = Table(
    "incident_events",
    metadata,
    Column("incident_id", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("type", String(32), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("via", String(32), nullable=False),
    Column("key", String(200), nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("incident_id", "key", name="event_once"),
)
findings = Table(
    "findings",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("onset", BigInteger, primary_key=True),
    Column("service", String(255), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("incident_id", String(32)),
    Column("seen_at", BigInteger, nullable=False),
    Column("cleared_at", BigInteger),
    Column("body", Text, nullable=False),
    Index("findings_by_time", "seen_at"),
)
suppressions = Table(
    "suppressions",
    metadata,
    Column("key", String(64), primary_key=True),  # of the row in `findings`
    Column("onset", BigInteger, primary_key=True),
    Column("detector", String(200), nullable=False),
    Column("service", String(255), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("until", BigInteger),  # the finding cleared, paged after all, or was reopened
    Index("suppressions_by_until", "until"),
    Index("suppressions_by_time", "began"),
)
reopenings = Table(
    "reopenings",
    metadata,
    Column("detector", String(200), primary_key=True),
    Column("service", String(255), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("via", String(32), nullable=False),
    Column("key", String(64), nullable=False),  # the finding that was reopened
    Column("note", Text, nullable=False),
)
alerts = Table(
    "alerts",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),  # as the sender says; 0: it did not say
    Column("heard_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),  # it fires until then, unless it is repeated
    Column("ended_at", BigInteger),
    Column("ended_by", String(200)),
    Column("body", Text, nullable=False),
    Index("alerts_by_end", "ended_at", "until"),
)
timers = Table(
    "timers",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("incident_id", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("step", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Column("set_at", BigInteger),
    Index("timers_due", "done_at", "due_at"),
    Index("timers_by_incident", "incident_id"),
)
outbox = Table(
    "outbox",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("incident_id", String(32), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("address", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("leased_until", BigInteger, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("sent_at", BigInteger),
    Column("error", Text),
    Column("batch", String(64)),
    # From then on another channel pages instead, if this one has not; null: it is no page, or one already does.
    Column("fails_over_at", BigInteger),
    Index("outbox_due", "sent_at", "channel", "due_at"),
    Index("outbox_by_incident", "incident_id"),
    Index("outbox_by_batch", "batch"),
)
messages = Table(
    "messages",
    metadata,
    Column("incident_id", String(32), primary_key=True),
    Column("channel", String(64), primary_key=True),
    Column("conversation", String(64), nullable=False),
    Column("ts", String(64), nullable=False),
    Index("messages_by_place", "conversation", "ts"),
)
clocks = Table(
    "clocks",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
)
labels = Table(
    "labels",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("incident_id", String(32), nullable=False),
    Column("source", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("labels_by_incident", "incident_id"),
)
readiness = Table(
    "readiness",
    metadata,
    Column("service", String(255), primary_key=True),
    Column("body", Text, nullable=False),
)
changes = Table(
    "changes",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("service", String(255), nullable=False),
    Column("body", Text, nullable=False),
    Index("changes_by_time", "at"),
)
postmortems = Table(
    "postmortems",
    metadata,
    Column("incident_id", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("markdown", Text, nullable=False),
)
postmortem_documents = Table(
    "postmortem_documents",
    metadata,
    Column("incident_id", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("service", String(255), nullable=False),
    Column("title", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("submitted_by", String(200), nullable=False),
    Column("published_at", BigInteger),
    Column("published_version", Integer),
    Column("published", Text, nullable=False),  # as it was published: Markdown and HTML, as JSON
    Column("words", Text, nullable=False),  # what a search looks in, in lower case
    Column("body", Text, nullable=False),
    Column("template", Text, nullable=False, server_default=""),  # as JSON; empty: from before there were any
    Column("reviewed_by", Text, nullable=False, server_default=""),  # names, as JSON
    Index("postmortem_documents_by_time", "updated_at"),
)
postmortem_revisions = Table(
    "postmortem_revisions",
    metadata,
    Column("incident_id", String(32), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("via", String(32), nullable=False),
    Column("key", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("changed", Text, nullable=False),  # names of fields, or of a change of state
    Column("body", Text, nullable=False),
    UniqueConstraint("incident_id", "key", name="revision_once"),
)
action_items = Table(
    "action_items",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("incident_id", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("due", String(10), nullable=False),  # a date; empty for none
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("done_at", BigInteger),
    Column("done_by", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Index("action_items_by_incident", "incident_id"),
    Index("action_items_by_due", "done_at", "due"),
)
status_updates = Table(
    "status_updates",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("incident_id", String(32), nullable=False),
    Column("audience", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("impact", String(16), nullable=False),
    Column("components", Text, nullable=False),  # ids, as JSON
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("author", String(200), nullable=False),
    Column("via", String(32), nullable=False),
    Column("approved_at", BigInteger),
    Column("approved_by", String(200), nullable=False),
    Index("status_updates_by_audience", "audience", "at"),
    Index("status_updates_by_incident", "incident_id"),
)
status_subscribers = Table(
    "status_subscribers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("address", String(254), nullable=False),
    Column("folded", String(254), nullable=False, unique=True),  # the address in lower case
    Column("state", String(16), nullable=False),
    Column("components", Text, nullable=False),  # ids, as JSON; empty for all
    Column("wanted", Text, nullable=False),  # those that a confirmation puts in their place
    Column("asked_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),
    Column("reason", Text, nullable=False),  # why it was set aside
    Index("status_subscribers_by_state", "state", "asked_at"),
)
status_mails = Table(
    "status_mails",
    metadata,
    Column("key", String(100), primary_key=True),  # of the subscriber and the update, or of one request to confirm
    Column("subscriber_id", String(32), nullable=False),
    Column("update_id", String(64), nullable=False),  # empty: it asks to confirm; of news, the incident
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("leased_until", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("sent_at", BigInteger),
    Column("error", Text, nullable=False),
    Column("news", Text, nullable=False, server_default=""),  # for a stakeholder: what happened, as JSON
    Column("batch", String(16), nullable=False, server_default=""),  # the message that it was tried in
    Index("status_mails_due", "sent_at", "due_at"),
    Index("status_mails_by_subscriber", "subscriber_id"),
    Index("status_mails_by_update", "update_id"),
)
experiments = Table(
    "experiments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("target", String(255), nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("outcome", String(16)),
    Column("body", Text, nullable=False),
    Index("experiments_by_outcome", "outcome", "ended"),
)
models = Table(
    "models",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("lineage", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("stage", String(16), nullable=False),
    UniqueConstraint("name", "digest", name="model_content_once"),
)
promotions = Table(
    "promotions",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("record", Text, nullable=False),
)
shadow_verdicts = Table(
    "shadow_verdicts",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("incident_id", String(32), primary_key=True),
    Column("would_page", Integer, nullable=False),
    Column("score", Float, nullable=False),
)
diagnosis_verdicts = Table(
    "diagnosis_verdicts",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("incident_id", String(32), primary_key=True),
    Column("correct", Integer, nullable=False),
)
overrides = Table(
    "overrides",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("schedule", String(64), nullable=False),
    Column("person", String(64), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("author", String(200), nullable=False),
    Column("at", BigInteger, nullable=False),
)
calendar_feeds = Table(
    "calendar_feeds",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # of the secret in its address
    Column("kind", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("revoked_at", BigInteger),
)
swaps = Table(
    "swaps",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("schedule", String(64), nullable=False),
    Column("asker", String(64), nullable=False),
    Column("taker", String(64), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("return_start", BigInteger),
    Column("return_end", BigInteger),
    Column("state", String(16), nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("asked_by", String(200), nullable=False),
    Column("answered_at", BigInteger),
    Column("answered_by", String(200)),
)
rota_versions = Table(
    "rota_versions",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),  # in force from then on
    Column("digest", String(64), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("owners", Text, nullable=False, server_default='{"file": "", "others": {}}'),
)
round_robins = Table(
    "round_robins",
    metadata,
    Column("policy", String(64), primary_key=True),  # empty: the default escalation
    Column("taken", Integer, nullable=False),
)
heartbeats = Table(
    "heartbeats",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("since", BigInteger, nullable=False),  # expected since then
    Column("heard_at", BigInteger),
)
merge_lessons = Table(
    "merge_lessons",
    metadata,
    Column("incident_id", String(32), primary_key=True),
    Column("into_id", String(32), primary_key=True),
    Column("pair", String(16), primary_key=True),  # of two troubles, whichever came first
    Column("service", String(255), nullable=False),
    Column("what", String(255), nullable=False),
    Column("other_service", String(255), nullable=False),
    Column("other_what", String(255), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("forgotten_at", BigInteger),  # it counts no more
    Column("forgotten_by", String(200), nullable=False),
    Index("merge_lessons_by_pair", "pair"),
    Index("merge_lessons_by_time", "at"),
)
canary_runs = Table(
    "canary_runs",
    metadata,
    Column("slot", BigInteger, primary_key=True, autoincrement=False),  # one run for each time at which one is due
    Column("id", String(32), nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("outcome", String(16), nullable=False),
    Column("broken", Text, nullable=False),
    Column("notified", String(200), nullable=False),
    Index("canary_runs_by_time", "began"),
)
silences = Table(
    "silences",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("service", String(255), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("label", String(255), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Index("silences_by_end", "end"),
)
runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incident_id", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("leased_until", BigInteger, nullable=False),
    Column("approved_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("text", Text, nullable=False),
    Column("approved_by", String(200), nullable=False, server_default=""),
    Column("autonomous", Integer, nullable=False, server_default="0"),
    Index("runs_by_state", "state", "approved_at"),
    Index("runs_by_incident", "incident_id"),
)
run_steps = Table(
    "run_steps",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("undone", Text, nullable=False),
    Column("body", Text, nullable=False, server_default=""),
)
run_answers = Table(
    "run_answers",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("asked", Integer, primary_key=True),
    Column("answer", Text, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("via", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
)
stops = Table(
    "stops",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
)
chaos_runs = Table(
    "chaos_runs",
    metadata,
    Column("schedule", String(64), primary_key=True),
    Column("due_at", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("claim", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("asked_at", BigInteger),
    Column("run_id", String(64), nullable=False),
    Column("host", String(255), nullable=False),
    Column("detail", Text, nullable=False),
    Column("postponed_from", BigInteger),  # its time by the schedule
    Column("approved_by", Text, nullable=False, server_default=""),
    Column("request", Text, nullable=False, server_default=""),  # what people were asked to approve
    # Where they were asked, and the version of the message that stands there.
    Column("conversation", String(64), nullable=False, server_default=""),
    Column("ts", String(64), nullable=False, server_default=""),
    Column("shown", String(64), nullable=False, server_default=""),
    Index("chaos_runs_by_state", "state"),
)
chaos_approvals = Table(
    "chaos_approvals",
    metadata,
    Column("schedule", String(64), primary_key=True),
    Column("person", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
)
resilience_findings = Table(
    "resilience_findings",
    metadata,
    Column("id", String(32), primary_key=True),  # of its kind, service and dependency
    Column("kind", String(64), nullable=False),
    Column("service", String(255), nullable=False),
    Column("dependency", String(255), nullable=False),
    Column("fault", String(100), nullable=False),  # under which it was seen last
    Column("experiment", String(64), nullable=False),  # that showed it last
    Column("shown", Text, nullable=False),
    Column("proposal", Text, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("decided_by", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("retested_at", BigInteger),  # by an experiment that no longer shows it
    Column("retested_by", String(64), nullable=False),
)
resilience_tests = Table(
    "resilience_tests",
    metadata,
    Column("experiment", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False),
)
audit = Table(
    "audit",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("via", String(32), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("detail", Text, nullable=False),
    Column("digest", String(64), nullable=False, server_default=""),
)
