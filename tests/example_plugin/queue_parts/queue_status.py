"""Backlogs of job queues come in from a status page."""

import json
import time
import urllib.request

from collectors.source import SourceContext
from collectors.trials import Reading
from watchkeeper.errors import WatchkeeperError


class QueueStatus:
    """Backlogs of job queues, from a page of JSON. Settings: `url`, and `interval_s` (default 2)."""

    def __init__(self, context: SourceContext) -> None:
        self.context = context
        self.url = str(context.settings["url"])
        self.interval_s = float(context.settings.get("interval_s", 2))

    def run(self) -> None:
        while not self.context.stop.wait(self.interval_s):
            try:
                with urllib.request.urlopen(self.url, timeout=5) as page:
                    request = {"resourceMetrics": [gauge(queue, jobs) for queue, jobs in dict(json.load(page)).items()]}
                self.context.intake.take("metrics", json.dumps(request).encode(), is_json=True, sender=self.url).wait()
                self.context.problems.solved(self.context.name)
            except (OSError, ValueError, TypeError, WatchkeeperError) as error:
                self.context.problems.report(self.context.name, self.url, error)

    @staticmethod
    def trial() -> Reading:
        def config(origin: str) -> dict:
            return {"sources": {"queue-status": {"url": f"http://{origin}", "interval_s": 0.2}}}

        return Reading(config=config, good=b'{"emails": 3}', malformed=(b"", b"[1]", b'{"emails": "many"}'))


def gauge(queue: str, jobs: float) -> dict:
    points = [{"timeUnixNano": str(time.time_ns()), "asDouble": float(jobs)}]
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": queue}}]}
    return {"resource": service, "scopeMetrics": [{"metrics": [{"name": "backlog", "gauge": {"dataPoints": points}}]}]}
