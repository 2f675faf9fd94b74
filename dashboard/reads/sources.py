"""Everything that the pages read, in three parts: traffic (telemetry), records (state) and Watchkeeper itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from alerting.ask.answer import Answer
from alerting.ask.asker import Asker
from alerting.incidents.commands import Incidents
from alerting.postmortems.actions import Actions
from alerting.postmortems.editing import Postmortems
from alerting.status_page.updates import StatusUpdates
from chaos.launches import Launches
from dashboard.boards.changes import Boards
from dashboard.boards.folder import BoardFolder
from dashboard.reads.arrivals import ArrivalReads
from dashboard.reads.audit import AuditReads
from dashboard.reads.cache import Cache
from dashboard.reads.experiments import ExperimentReads
from dashboard.reads.logs import LogReads
from dashboard.reads.metrics import MetricReads
from dashboard.reads.objectives import ObjectiveReads
from dashboard.reads.own_state import OwnState, Roles
from dashboard.reads.records import RecordReads
from dashboard.reads.runbooks import RunbookReads
from dashboard.reads.trace_search import TraceSearchReads
from dashboard.reads.traces import TraceReads
from dashboard.reads.traffic import TrafficReads
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

CACHE_S = 2.0


class Sources:
    """Reads for the pages. Threads share one; every answer is at most two seconds old.

    Attributes:
        traffic: requests, calls, traces, log lines and metrics.
        logs: searches of log lines, and their templates.
        objectives: the objectives, and the requests that they count.
        audit: who changed what outside of incidents.
        arrivals: what arrives from whom, and what was refused.
        metrics: any metric by its labels, and the dictionary of all.
        trace_search, traces: searches among spans, and single traces.
        records: incidents, findings, changes, labels and suppressions.
        itself: Watchkeeper's roles and their problems.
        telemetry: the store's reader, for a page with queries of its own.
        asker: answers questions in plain words.
        incidents: the commands; pages give them through buttons only.
        postmortems, actions, status: postmortems, their action items, and status updates, with their commands.
        experiments: what experiments have shown.
        runbooks: the runbooks, their proof, their runs, and plans.
        boards: the files of boards, with their commands.
        config_path: the file that the configuration was read from; None where there is none.
        launches: starts and stops them; None where the web role reads no file.
    """

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        incidents: Incidents,
        db: Database,
        config: Config,
        clock: Clock,
        roles: Roles = lambda: (),
        config_path: Path | None = None,
    ) -> None:
        """`roles` looks at Watchkeeper's processes on this machine. Experiments read the file at `config_path`."""
        self.telemetry = telemetry
        self.incidents = incidents
        self.db = db
        self.config = config
        self.config_path = config_path
        self._clock = clock
        self.postmortems = Postmortems(db, clock, incidents, lambda: config.oncall)
        self.actions = Actions(db, clock, lambda: config.oncall)
        self.status = StatusUpdates(db, clock, config)
        self._cache = Cache(CACHE_S)
        self.asker = Asker(
            db=db,
            incidents=incidents,
            store=telemetry,
            oncall=lambda: config.oncall,
            clock=clock,
            objectives=lambda: list(self.objectives.all().by_name.values()),
        )
        self.traffic = TrafficReads(telemetry, clock, self._cache)
        self.logs = LogReads(telemetry, self._cache)
        self.trace_search = TraceSearchReads(telemetry, self._cache)
        self.objectives = ObjectiveReads(telemetry, config, clock)
        self.metrics = MetricReads(telemetry, self._cache)
        self.traces = TraceReads(telemetry, self._cache)
        self.audit = AuditReads(db, self._cache)
        self.arrivals = ArrivalReads(telemetry, self._cache, config.ingest_log_dir)
        self.records = RecordReads(db, incidents, self._cache)
        self.launches = Launches(config_path, config.data_dir) if config_path else None
        self.experiments = ExperimentReads(telemetry, db, config, clock)
        self.runbooks = RunbookReads(db, config, clock, lambda: self.experiments.target, self._cache)
        self.boards = Boards(BoardFolder(config.boards_dir), db, clock)
        self.itself = OwnState(
            roles=roles, run_dir=config.data_dir / "run", traffic=self.traffic, clock=clock, cache=self._cache
        )

    @property
    def clock(self) -> Clock:
        return self._clock

    def now(self) -> datetime:
        return self._clock.now()

    def ask(self, question: str) -> Answer:
        """The answer to a question in plain words. Raises StateError."""
        return self._cache.get(("ask", question), lambda: self.asker.ask(question))

    def forget(self) -> None:
        """Read everything again: a command has just changed something."""
        self._cache.clear()
        self.experiments.forget()

    @property
    def people(self) -> Mapping[str, str]:
        """The names of who can be paged, by id."""
        return {person.id: person.name for person in self.config.oncall.people}
