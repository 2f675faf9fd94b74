"""Holds a table of PostgreSQL locked, all the time or again and again.

The server bounds it as well: it ends a session that does nothing within its transaction for too long, so the lock goes
even if this host is cut off. A session whose process was killed is ended by the server at once.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql

from agent.holders.bounded import Bounds, hold, ready, say

CONNECT_WITHIN_S: Final = 5
WAIT_FOR_LOCK_S: Final = 5.0  # everybody else queues behind us meanwhile


def work(bounds: Bounds) -> None:
    """Lock `table` for `hold_s`, leave it for `pause_s`, again and again; no pause: one lock."""
    pause_s = float(bounds.asked["pause_s"])
    hold_s = float(bounds.asked["hold_s"]) if pause_s else bounds.left_s
    table = sql.Identifier(*str(bounds.asked["table"]).split("."))
    said = False
    try:
        connection = psycopg.connect(
            str(bounds.asked["url"]),
            connect_timeout=CONNECT_WITHIN_S,
            application_name=str(bounds.asked["application"]),
            options=(
                f"-c lock_timeout={int(WAIT_FOR_LOCK_S * 1000)} -c statement_timeout={int(WAIT_FOR_LOCK_S * 2000)}"
                f" -c idle_in_transaction_session_timeout={int((hold_s + 2.0) * 1000)}"
            ),
        )
        while bounds.left_s:
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
            if not said:
                ready()
                said = True
            bounds.wait(hold_s)
            connection.rollback()
            bounds.wait(pause_s)
    except psycopg.Error as error:
        if not said:
            say(f"{bounds.asked['table']} cannot be locked: {str(error).strip()}")


if __name__ == "__main__":
    hold(work)
