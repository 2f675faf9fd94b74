"""Ports on which roles listen: who holds one, and what to do where one cannot be used."""

from __future__ import annotations

import errno
import os
import socket

import psutil

from watchkeeper.config_values import bracketed
from watchkeeper.errors import WatchkeeperError


def port_owner(port: int) -> str:
    """Who listens on a TCP port here: `nginx (pid 812)`, or a plain word where that cannot be seen."""
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                break
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another process"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)


def bind(host: str, port: int, key: str) -> socket.socket:
    """A listening socket.

    Raises:
        WatchkeeperError: the port cannot be used; says why, and what to do.
    """
    try:
        return listen(host, port)
    except OSError as error:
        raise refused(host, port, key, error) from error


def refused(host: str, port: int, key: str, error: OSError) -> WatchkeeperError:
    """The error for a port that cannot be used. `key` is the port's, such as `web.port`."""
    why, advice = reason(host, port, key, error)
    return WatchkeeperError(f"{key}: {bracketed(host)}:{port} cannot be used ({why}). {advice}")


def reason(host: str, port: int, key: str, error: OSError) -> tuple[str, str]:
    """Why a port cannot be used, and what to do."""
    host_key = f"{key.rpartition('.')[0]}.host"
    match error.errno:
        case errno.EADDRINUSE:
            return f"it is held by {port_owner(port)}", f"Stop that process, or set {key} to a free port."
        case errno.EACCES | errno.EPERM:
            return "this user may not listen there", f"Set {key} to a port above 1023."
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine", f"Set {host_key} to one that `ip address` shows."
        case errno.EAFNOSUPPORT:
            return "this machine has no IPv6", f"Set {host_key} to an IPv4 address."
        case number:
            return os.strerror(number) if number else str(error), f"Check {host_key} and {key}."
