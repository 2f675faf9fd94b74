"""A watch role's worker for stakeholders, to be killed. Usage: informing_worker.py STATE_URL FOLDER SMTP_PORT."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from mailing_worker import configured

from alerting.status_page import mails
from alerting.status_page.informing import Informing
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, OnCallConfig, PersonConfig
from watchkeeper.config_oncall import StakeholderRule
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database

CHANNEL = "C0LEADERS"


def informed(folder: Path, port: int, *rules: dict[str, Any], **changes: Any) -> Config:
    """Ana is on call, Eve is a person with an e-mail address, and `rules` say who is informed."""
    people = (
        PersonConfig(id="oncall", name="Ana Souza", addresses={"slack": "UANA"}),
        PersonConfig(id="eve", name="Eve Adams", addresses={"email": "eve@x.example"}),
    )
    stakeholders = tuple(StakeholderRule.model_validate({"id": f"r{n}"} | rule) for n, rule in enumerate(rules))
    oncall = OnCallConfig.model_validate({"people": people, "stakeholders": stakeholders, **changes})
    return configured(folder, port).model_copy(update={"oncall": oncall})


if __name__ == "__main__":
    mails.LEASE = timedelta(seconds=0.3)  # type: ignore[misc]
    config = informed(Path(sys.argv[2]), int(sys.argv[3]), {"emails": [f"p{number}@x.example" for number in range(40)]})
    informing = Informing(config, Database.open(sys.argv[1]), SystemClock(), Problems(None))
    while True:
        informing.run()
        time.sleep(0.02)
