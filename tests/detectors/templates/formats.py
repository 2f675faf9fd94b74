"""What each program's messages are, from its format strings: the truth that mined templates are compared with.

Each entry is a message's name and a pattern of the whole line, made from the format string in the program's source or
manual. The miner never sees these. A line that no entry describes (rare start-up lines) is not scored.
"""

from __future__ import annotations

import re

_PG = r"^\S+ \S+ \S+ \[\d+\] (?:\S+@\S+ )?"
_NATS = r"^\[\d+\] \S+ \S+ \[(?:TRC|DBG|ERR|INF|WRN)\] "
_CID = r"\S+ - cid:\d+(?: - .*?)?- "
_REDIS = r"^\d+:[MCS] .*? [-.*#] "
_TIME = r"^\d+: "

FORMATS: dict[str, dict[str, str]] = {
    "postgres": {
        "duration statement": _PG + r"LOG:  duration: .* ms  (?:statement|execute .*): ",  # postgres.c
        "duration": _PG + r"LOG:  duration: [\d.]+ ms$",
        "statement": _PG + r"STATEMENT:  ",  # elog.c
        "duplicate": _PG + r"ERROR:  duplicate key value violates unique constraint",
        "key exists": _PG + r"DETAIL:  Key \(.*\)=\(.*\) already exists\.",
        "no column": _PG + r"ERROR:  column .* does not exist at character",
        "no relation": _PG + r"ERROR:  relation .* does not exist at character",
        "division": _PG + r"ERROR:  division by zero",
        "received": _PG + r"LOG:  connection received: host=",
        "authenticated": _PG + r"LOG:  connection authenticated: ",
        "authorized": _PG + r"LOG:  connection authorized: ",
        "ready": _PG + r"LOG:  connection ready: ",
        "disconnection": _PG + r"LOG:  disconnection: session time: ",
        "checkpoint starting": _PG + r"LOG:  checkpoint starting:",
        "checkpoint complete": _PG + r"LOG:  checkpoint complete: ",
        "parameter": _PG + r"LOG:  parameter .* changed to",
    },
    "nats": {
        "created": _NATS + _CID + r"Client connection created",
        "closed": _NATS + _CID + r"Client connection closed: ",
        "connect": _NATS + _CID + r"<<- \[CONNECT ",
        "sub": _NATS + _CID + r"<<- \[SUB ",
        "pub": _NATS + _CID + r"<<- \[PUB ",
        "unsub": _NATS + _CID + r"<<- \[UNSUB ",
        "delsub": _NATS + _CID + r"<-> \[DELSUB ",
        "msg": _NATS + _CID + r"->> \[MSG ",
        "ok": _NATS + _CID + r"->> \[OK\]",
        "err": _NATS + _CID + r"->> \[-ERR ",
        "pong out": _NATS + _CID + r"->> \[PONG\]",
        "ping in": _NATS + _CID + r"<<- \[PING\]",
        "payload": _NATS + _CID + r"<<- MSG_PAYLOAD: ",
        "parser error": _NATS + _CID + r"Client parser ERROR, state=",
    },
    "redis": {
        "accepted": _REDIS + r"Accepted ",  # networking.c: "Accepted %s:%d"
        "saved": _REDIS + r"DB saved on disk",
        "removing": _REDIS + r"Removing the history file .* in the background",
        "cow aof": _REDIS + r"Fork CoW for AOF rewrite: ",
        "cow rdb": _REDIS + r"Fork CoW for RDB: ",
        "creating incr": _REDIS + r"Creating AOF incr file .* on background rewrite",
        "creating base": _REDIS + r"Creating AOF base file .* on server start",
        "creating incr start": _REDIS + r"Creating AOF incr file .* on server start",
        "rewriting": _REDIS + r"Background append only file rewriting started by pid",
        "temporary": _REDIS + r"Successfully created the temporary AOF base file",
        "renamed": _REDIS + r"Successfully renamed the temporary AOF base file",
        "renamed incr": _REDIS + r"Successfully renamed the temporary AOF incr file",
        "terminated": _REDIS + r"Background AOF rewrite terminated with success",
        "finished": _REDIS + r"Background AOF rewrite finished successfully",
        "signal": _REDIS + r"Background AOF rewrite signal handler took",
        "loaded": _REDIS + r"DB loaded from (?:incr|base) file ",
        "loaded base": _REDIS + r"DB loaded from base file ",
        "saving": _REDIS + r"Background saving started by pid",
        "save ended": _REDIS + r"Background saving terminated with success",
        "changes": _REDIS + r"\d+ changes in \d+ seconds\. Saving",
        "configuration": _REDIS + r"Configuration loaded",
        "version": _REDIS + r"Redis version=",
        "starting": _REDIS + r"oO0OoO0OoO0Oo Redis is starting",
        "clock": _REDIS + r"monotonic clock: ",
        "initialized": _REDIS + r"Server initialized",
        "ready": _REDIS + r"Ready to accept connections",
        "signalled": _REDIS + r"(?:\S+ )?Received SIGTERM scheduling shutdown",
        "shutdown": _REDIS + r"User requested shutdown",
        "bye": _REDIS + r"Redis is now ready to exit, bye bye",
        "exit save": _REDIS + r"Saving the final RDB snapshot before exiting",
    },
    "nginx": {
        "access": r'^\S+ - \S+ \[.*?\] ".*" \d+ \d+ ".*" ".*"$',  # log_format combined
        "open failed": r"^\S+ \S+ \[error\] \d+#\d+: \*\d+ open\(\) .* failed ",
        "upstream": r"^\S+ \S+ \[error\] \d+#\d+: \*\d+ connect\(\) failed ",
        "forbidden": r"^\S+ \S+ \[error\] \d+#\d+: \*\d+ access forbidden by rule",
        "invalid": r"^\S+ \S+ \[info\] \d+#\d+: \*\d+ client sent invalid method",
        "closed": r"^\S+ \S+ \[info\] \d+#\d+: \*\d+ client \S+ closed keepalive connection",
    },
    "memcached": {  # memcached.c, at -vv
        "new": r"^<\d+ new auto-negotiating client connection$",
        "protocol": r"^\d+: Client using the ascii protocol$",
        "closed": r"^<\d+ connection closed\.$",
        "get": r"^<\d+ get ",
        "set": r"^<\d+ set ",
        "delete": r"^<\d+ delete ",
        "incr": r"^<\d+ incr ",
        "sending": r"^>\d+ sending key ",
        "end": r"^>\d+ END$",
        "stored": r"^>\d+ STORED$",
        "deleted": r"^>\d+ DELETED$",
        "not found": r"^>\d+ NOT_FOUND$",
        "slab": r"^slab class +\d+: chunk size",
    },
    "mosquitto": {  # handle_*.c, send_*.c
        "connection": _TIME + r"New connection from \S+ on port",
        "client": _TIME + r"New client connected from \S+ as ",
        "no will": _TIME + r"No will message specified\.",
        "connack": _TIME + r"Sending CONNACK to ",
        "subscribe": _TIME + r"Received SUBSCRIBE from ",
        "topic": _TIME + r"\t.* \(QoS \d\)$",
        "subscribed": _TIME + r"\S+ \d+ \S+$",
        "suback": _TIME + r"Sending SUBACK to ",
        "publish in": _TIME + r"Received PUBLISH from ",
        "publish out": _TIME + r"Sending PUBLISH to ",
        "pingreq": _TIME + r"Received PINGREQ from ",
        "pingresp": _TIME + r"Sending PINGRESP to ",
        "disconnect": _TIME + r"Received DISCONNECT from ",
        "disconnected": _TIME + r"Client \S+ disconnected\.",
        "closed": _TIME + r"Client \S+ closed its connection\.",
    },
    "haproxy": {"http": r"^\S+:\d+ \[.*?\] \S+ \S+ \S+ \d+ \d+ - - "},  # option httplog
    "dnsmasq": {  # log.c, cache.c
        "query": r"^dnsmasq: query\[\S+\] \S+ from ",
        "config": r"^dnsmasq: config (?!error)\S+ is ",
        "refused": r"^dnsmasq: config error is REFUSED",
    },
    "http_server": {  # http/server.py: log_request, send_error
        "request": r'^\S+ - - \[.*?\] ".*" \d+ -$',
        "not found": r"^\S+ - - \[.*?\] code \d+, message File not found",
        "method": r"^\S+ - - \[.*?\] code \d+, message Unsupported method",
    },
    "uvicorn": {  # uvicorn/protocols, server.py, lifespan/on.py
        "access": r'^INFO: +\S+:\d+ - ".*" \d+',
        "started": r"^INFO: +Started server process",
        "waiting": r"^INFO: +Waiting for application startup",
        "complete": r"^INFO: +Application startup complete",
        "running": r"^INFO: +Uvicorn running on",
        "shutting": r"^INFO: +Shutting down",
        "wait shutdown": r"^INFO: +Waiting for application shutdown",
        "shut": r"^INFO: +Application shutdown complete",
        "finished": r"^INFO: +Finished server process",
        "lifespan": r"^INFO: +ASGI .lifespan. protocol appears unsupported",
    },
    "dpkg": {  # log.c, archives.c
        "status": r"^\S+ \S+ status ",
        "configure": r"^\S+ \S+ configure ",
        "install": r"^\S+ \S+ install ",
        "upgrade": r"^\S+ \S+ upgrade ",
        "trigproc": r"^\S+ \S+ trigproc ",
        "packages": r"^\S+ \S+ startup packages ",
        "archives": r"^\S+ \S+ startup archives ",
    },
    "git": {  # trace.c, run-command.c
        "built-in": r"^\S+ \S+ +trace: built-in: ",
        "run": r"^\S+ \S+ +trace: run_command: ",
        "exec": r"^\S+ \S+ +trace: exec: ",
        "start": r"^\S+ \S+ +trace: start_command: ",
        "preparing": r"^\S+ \S+ +run_processes_parallel: preparing",
        "done": r"^\S+ \S+ +run_processes_parallel: done",
    },
    "shop": {  # chaos/shop; the last is uvicorn's
        "bought": r"^customer \S+ placed order \S+$",
        "placed": r"^order \d+ placed for \d+ cents$",
        "charged": r"^charge \d+ of \d+ cents accepted$",
        "shipped": r"^shipment \d+ booked for \d+ cents$",
        "database": r"^[A-Z]+ \S+ failed: ",
        "late": r"^\S+ did not answer [A-Z]+ \S+ in time$",
        "unreachable": r"^cannot reach \S+: \w+$",
        "answered": r"^\S+ answered \d+ to [A-Z]+ \S+$",
        "exception": r"^Exception in ASGI application",
    },
}


def label(program: str, line: str) -> str | None:
    """The name of the message a line is, or None; the verb of a quoted request belongs to its message."""
    name = next((name for name, pattern in _compiled(program) if pattern.search(line)), None)
    verb = _REQUEST.search(line) if name in _REQUESTS else None
    return f"{name} {verb[1]}" if verb else name


_REQUESTS = frozenset({"access", "http", "request"})
_REQUEST = re.compile(r'"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) ')


_COMPILED: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


def _compiled(program: str) -> list[tuple[str, re.Pattern[str]]]:
    if program not in _COMPILED:
        _COMPILED[program] = [(name, re.compile(pattern)) for name, pattern in FORMATS[program].items()]
    return _COMPILED[program]
