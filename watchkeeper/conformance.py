"""The conformance suites, one for each kind of part, for packages that bring parts of their own.

A suite is a class of pytest tests, parametrised over the parts that it is given, or over every registered part of its
kind. Assign it in a test module:

    from watchkeeper.conformance import detector_suite

    TestDetectors = detector_suite()

Importing this module costs nothing: a suite, and what it needs, is imported when it is asked for. Suites need pytest.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from watchkeeper.errors import WatchkeeperError


def detector_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every detector must pass."""
    return _suite("detectors.conformance", "detector_suite", parts)


def evidence_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every kind of evidence must pass."""
    return _suite("rca.conformance", "evidence_suite", parts)


def channel_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every alert channel must pass."""
    return _suite("alerting.conformance", "channel_suite", parts)


def step_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every runbook step must pass."""
    return _suite("runbooks.conformance", "step_suite", parts)


def target_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that everything which steps and faults act on must pass."""
    return _suite("runbooks.conformance", "target_suite", parts)


def fault_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every fault must pass."""
    return _suite("chaos.conformance", "fault_suite", parts)


def agent_fault_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every fault of a host must pass."""
    return _suite("agent.conformance", "agent_fault_suite", parts)


def agent_finder_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every way to find a service on a host must pass."""
    return _suite("agent.conformance", "agent_finder_suite", parts)


def source_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every source of telemetry must pass."""
    return _suite("collectors.conformance", "source_suite", parts)


def page_suite(parts: Mapping[str, Any] | None = None) -> type:
    """The tests that every dashboard page must pass."""
    return _suite("dashboard.conformance", "page_suite", parts)


def _suite(module: str, name: str, parts: Mapping[str, Any] | None) -> type:
    try:
        made = getattr(import_module(module), name)(parts)
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise WatchkeeperError(f"{name} is made of pytest tests: install pytest beside Watchkeeper") from error
    assert isinstance(made, type)
    return made
