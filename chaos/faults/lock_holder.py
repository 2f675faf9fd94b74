"""Holds an exclusive lock on a SQLite file; run as a program of its own: PATH SECONDS.

Prints `locked` once it has the lock. Ends by itself after SECONDS. Needs the standard library alone.
"""

from __future__ import annotations

import sqlite3
import sys
import time

if __name__ == "__main__":
    connection = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    sys.stdout.write("locked\n")
    sys.stdout.flush()
    time.sleep(float(sys.argv[2]))
