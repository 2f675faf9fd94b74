"""A fault and a service as a complete experiment: what `watchkeeper chaos run FAULT SERVICE` runs, and writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.registry import fault_named
from chaos.toolkit.document import INJECT, ExperimentFile


def experiment_for(
    fault: str, service: str, seconds: float, given: Mapping[str, float | str] | None = None
) -> ExperimentFile:
    """The experiment: customers are served well before and after, and the fault in between. `given` are its arguments.

    Raises:
        ChaosError: there is no such fault.
    """
    description = fault_named(fault).description
    module, function = INJECT
    arguments: dict[str, Any] = {"fault": fault, "service": service, "seconds": seconds}
    if given:
        arguments["arguments"] = dict(given)
    content = {
        "version": "1.0.0",
        "title": f"{fault} in {service}: {description}",
        "description": f"Customers are served well again after {service} was broken for {seconds:g} seconds.",
        "tags": ["watchkeeper"],
        "steady-state-hypothesis": {
            "title": "Customers are served well",
            "probes": [
                {
                    "type": "probe",
                    "name": "customers are served well",
                    "tolerance": True,
                    "provider": {"type": "python", "module": "chaos.toolkit.probes", "func": "steady"},
                }
            ],
        },
        "method": [
            {
                "type": "action",
                "name": f"{fault} in {service}",
                "provider": {"type": "python", "module": module, "func": function, "arguments": arguments},
            }
        ],
        "rollbacks": [],
    }
    return ExperimentFile(source=f"{fault} {service}", content=content)
