"""A Redis and a PostgreSQL of the test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.waiting import until
from watchkeeper.ports import free_port


@contextmanager
def redis() -> Iterator[str]:
    """Its address, with a password. Skips where Redis is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "it's a:secret"]
    command += ["--maxmemory", "50000000", "--maxmemory-policy", "allkeys-lru"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        until(lambda: _answers(port), what="Redis")
        yield f"redis://:it%27s%20a%3Asecret@127.0.0.1:{port}"
        server.kill()


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Its address; it has some tables. Skips where PostgreSQL is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("PostgreSQL is not installed")
    programs, port = folders[-1], free_port()
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user, account = "postgres", pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        for above in (folder, *folder.parents):
            with suppress(OSError):
                above.chmod(above.stat().st_mode | 0o011)
    data = folder / "data"
    make = [programs / "initdb", "-D", data, "-U", "desk", "-A", "trust", "--no-sync"]
    subprocess.run(make, user=user, cwd="/", check=True, capture_output=True)
    serve = [programs / "postgres", "-D", data, "-p", str(port), "-c", f"unix_socket_directories={folder}"]
    serve += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with subprocess.Popen(serve, user=user, cwd="/", stderr=subprocess.DEVNULL) as server:
        until(lambda: _answers(port), what="PostgreSQL")
        url = f"postgresql://desk@127.0.0.1:{port}/postgres"
        until(lambda: _serves(url), what="PostgreSQL's first answer")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE loans (id int)")
            connection.execute('CREATE SCHEMA "old stock"')
            connection.execute('CREATE TABLE "old stock"."Titles" (id int)')
        yield url
        server.terminate()
        server.wait(60)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5.0):
        return True
    return False


def _serves(url: str) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False
