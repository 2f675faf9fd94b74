"""The proxy that callers go through to reach a service, so that their connections can be disturbed.

A process of its own, which outlives the agent: callers depend on it. Without a rule it passes everything on. A rule is
one disturbance of one route; the proxy itself holds its deadline, so a rule ends even if nobody is left to end it.

    agent ──── starts, looks every second ────► proxy ◄── control socket, one a route ── keeper of a fault
                                  callers ────► listen ────────► to (the service)

The control socket is an abstract Unix socket named after the route's port: it leaves no file, and it vanishes with the
process. It answers the proxy's own user and root alone.
"""
