"""Every fault of a host that is installed passes the suite."""

from __future__ import annotations

from watchkeeper.conformance import agent_fault_suite

TestAgentFaults = agent_fault_suite()
