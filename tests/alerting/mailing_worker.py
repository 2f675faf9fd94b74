"""A watch role's worker for subscribers, to be killed. Usage: python mailing_worker.py STATE_URL FOLDER SMTP_PORT."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

from alerting.status_page import mails
from alerting.status_page.mailing import Mailing, mail_server
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config, WebConfig
from watchkeeper.config_sections import ComponentConfig, StatusPageConfig, SubscriptionConfig
from watchkeeper.problems import Problems
from watchkeeper.state.database import Database

PUBLIC = "https://watch.example"


def configured(folder: Path, port: int, **changes: object) -> Config:
    """Two components, and a mail server at a port."""
    return Config(
        data_dir=folder / "data",
        web=WebConfig(public_url=PUBLIC),
        channels={
            "slack": {},
            "email": {"host": "127.0.0.1", "port": port, "security": "none", "sender": "pager@inside.example"},
        },
        status_page=StatusPageConfig(
            title="Shop status",
            components=(
                ComponentConfig(id="checkout", name="Checkout", services=("payments-eu1",)),
                ComponentConfig(id="search", name="Search", services=("finder-v2",)),
            ),
            subscriptions=SubscriptionConfig.model_validate(
                {
                    "channel": "email",
                    "sender": "Shop <status@shop.example>",
                    "page_url": "https://status.shop.example",
                    "mails_per_minute": 1000,
                    **changes,
                }
            ),
        ),
    )


if __name__ == "__main__":
    mails.LEASE = timedelta(seconds=0.3)  # type: ignore[misc]
    config = configured(Path(sys.argv[2]), int(sys.argv[3]))
    server = mail_server(config)
    assert server is not None
    mailing = Mailing(config, Database.open(sys.argv[1]), SystemClock(), server, Problems(None))
    while True:
        mailing.run()
        time.sleep(0.02)
