"""A system that is not ours: stock programs and SDKs, to see how Watchkeeper does where nobody tuned it.

    readers ─► nginx ─► desk ─┬─► catalogue ──────────────► PostgreSQL
                              ├─► recommend ─► catalogue      ▲  ▲
                              ├─► readers ────► Redis ◄───────┼──┤
                              └─► lending ────► Redis, ───────┘  │
                                                notices ─────────┘

A small library's lending desk: nginx, PostgreSQL and Redis from the distribution, six Node programs with
OpenTelemetry's automatic instrumentation as it comes. Telemetry goes to whatever OTLP endpoint it is given.
"""
