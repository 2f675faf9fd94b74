"""The proxy that a network fault puts before a service, when whoever runs it presses Ctrl-C."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys


def test_ctrl_c_ends_it_without_a_traceback_while_it_serves() -> None:
    """It is told with the whole group; connections that are open, or being opened, end with it."""
    with socket.create_server(("127.0.0.1", 0), backlog=2) as service:
        command = [sys.executable, "-m", "chaos.faults.tcp_proxy", str(service.getsockname()[1]), "50", "0", "60"]
        proxy = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert proxy.stdout is not None
        port = int(proxy.stdout.readline())
        callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        served, _ = service.accept()
        callers[0].sendall(b"hello")
        proxy.send_signal(signal.SIGINT)
        _, errors = proxy.communicate(timeout=60)
        for one in (*callers, served):
            one.close()
    assert (proxy.returncode, errors) == (0, "")
