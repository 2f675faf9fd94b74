"""The text of a first agent's file: it allows nothing, and shows how to allow something."""

from __future__ import annotations

import socket

_TEXT = """\
# What the agent of this host may do. What this file does not name is refused, and audited.
# `watchkeeper agent check` prints what the agent finds, and touches nothing.

name: {name}
# Where the platform reaches the agent. Beyond loopback, set tls.
host: 127.0.0.1
port: 9411
# Records of what was broken, the audit log and the stop file. Relative to this file.
state_dir: agent-state

# Who may ask. Only the SHA-256 of a token is kept; `token_env` or `token_file` name where one is.
tokens:
  - {{name: platform, sha256: {sha256}}}

# tls: {{certificate: agent.pem, key: agent.key, client_ca: platform-ca.pem}}

bounds:
  seconds: 300      # the longest that a fault may hold
  share: 1.0        # of the instances of a service that run on this host
  concurrent: 1     # faults at once
  # hours: {{zone: Europe/Berlin, days: [mon, tue, wed, thu], start: "09:00", end: "16:00"}}

# Metrics of this host, OTLP of its services and alerts, kept on the disk while the platform is away.
# telemetry: {{to: "https://watchkeeper.internal:4318", token_env: WATCHKEEPER_TOKEN}}

services: {{}}
# services:
#   orders:
#     find: {{systemd: {{unit: orders.service}}}}
#     verbs: [start, stop, restart, resume]
#     faults: [kill, hang]
#     probe: {{url: "http://127.0.0.1:8080", path: /healthz}}
#   payments:
#     find: {{supervisord: {{socket: /run/supervisor.sock, program: payments}}}}
#     verbs: [restart]
#   cart:
#     find: {{docker: {{container: cart}}}}
#     verbs: [restart]
#     commands:
#       flush: {{run: [/usr/local/bin/cart-flush], seconds: 20}}
#   search:
#     find:
#       process:
#         pattern: "search-server .*--port 9000"
#         port: 9000
#         start: [/usr/local/bin/search-server, --port, "9000"]
#     verbs: [start, restart]
#   legacy:
#     find: {{pid_file: {{path: /run/legacy.pid, start: [/etc/init.d/legacy, start]}}}}
#   shop:
#     find: {{control_url: {{url: "http://127.0.0.1:9000", service: web, token_file: shop.token}}}}
"""


def text(sha256: str) -> str:
    """The file, for a token with this SHA-256 in hexadecimal digits."""
    return _TEXT.format(name=socket.gethostname() or "this-host", sha256=sha256)
