"""What is drawn from code: the protocol's states in the documentation, and runbooks as BPMN."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from runbooks.bpmn import DC, DI, DIAGRAM, MODEL, bpmn
from runbooks.program import Program, Retries, StepSpec
from runbooks.runbook import Runbook, read_runbooks
from watchkeeper.cli.runbook import state_diagrams

FULL = Program(
    steps=(
        StepSpec(kind="notify", inputs={"text": '<b>&"now" {service}'}),
        StepSpec(kind="scale", inputs={"to": 4, "back_to": 2}, id="more", timeout_s=60),
        StepSpec(kind="ask", inputs={"question": "go on?"}, when={"mechanism": "cpu"}),
        StepSpec(kind="command", inputs={"name": "a", "undo": "b"}, retries=Retries(times=2)),
    )
)
# The flow nodes that may stand in a process here, and the children of each in the schema's order.
ORDER = [
    "documentation",
    "incoming",
    "outgoing",
    "errorEventDefinition",
    "timerEventDefinition",
    "compensateEventDefinition",
]
ACTIVITIES = {"userTask", "serviceTask", "sendTask"}
NODES = ACTIVITIES | {"startEvent", "endEvent", "boundaryEvent", "intermediateThrowEvent", "exclusiveGateway"}


def test_the_documentation_shows_the_states_that_the_code_has() -> None:
    """docs/state-machine.md holds what `watchkeeper runbook states` prints."""
    text = (Path(__file__).parents[2] / "docs" / "state-machine.md").read_text()
    assert text.endswith(state_diagrams() + "\n"), "run `watchkeeper runbook states`, and put it into the page"
    assert "running --> done: run_finished (done)" in text


def _local(element: ET.Element) -> str:
    return element.tag.rsplit("}", 1)[1]


@pytest.mark.parametrize("name", [*read_runbooks(), "full"])
def test_a_runbook_is_a_bpmn_process_with_its_diagram(name: str) -> None:
    """Names, order and references as BPMN20.xsd has them; each node and flow is drawn once, where it says."""
    full = Runbook(
        id="full", title="t", why="w", mechanisms=("cpu",), after_change=False, program=FULL, blast_radius="b", undo="u"
    )
    root = ET.fromstring(bpmn(full if name == "full" else read_runbooks()[name]))
    assert root.tag == f"{{{MODEL}}}definitions"
    assert root.get("targetNamespace")
    assert [_local(child) for child in root] == ["process", "BPMNDiagram"]
    process, plane = root[0], root[1][0]
    assert (plane.tag, plane.get("bpmnElement")) == (f"{{{DIAGRAM}}}BPMNPlane", process.get("id"))
    nodes = {child.get("id"): child for child in process if _local(child) in NODES}
    flows = {child.get("id"): child for child in process if _local(child) == "sequenceFlow"}
    associations = [child for child in process if _local(child) == "association"]
    assert len(nodes) + len(flows) + len(associations) == len(process)
    assert list(process)[len(process) - len(associations) :] == associations
    for node_id, node in nodes.items():
        places = [ORDER.index(_local(child)) for child in node]
        assert places == sorted(places)
        marks = {kind: [c.text for c in node if _local(c) == kind] for kind in ("incoming", "outgoing")}
        assert marks["incoming"] == [key for key, flow in flows.items() if flow.get("targetRef") == node_id]
        assert marks["outgoing"] == [key for key, flow in flows.items() if flow.get("sourceRef") == node_id]
        if _local(node) == "boundaryEvent":
            assert _local(nodes[node.get("attachedToRef")]) in ACTIVITIES
        if node.get("default"):
            assert node.get("default") in marks["outgoing"]
        apart = _local(node) in ("startEvent", "boundaryEvent") or node.get("isForCompensation")
        assert marks["incoming"] or apart, f"nothing leads to {node_id}"
    for flow in flows.values():
        assert flow.get("sourceRef") in nodes
        assert flow.get("targetRef") in nodes
    for association in associations:
        assert nodes[association.get("targetRef")].get("isForCompensation") == "true"
    shapes = {shape.get("bpmnElement"): shape[0] for shape in plane if _local(shape) == "BPMNShape"}
    edges = {edge.get("bpmnElement"): edge for edge in plane if _local(edge) == "BPMNEdge"}
    assert set(shapes) == set(nodes)
    assert set(edges) == set(flows) | {association.get("id") for association in associations}
    assert all(bounds.tag == f"{{{DC}}}Bounds" for bounds in shapes.values())
    assert all(len(edge) >= 2 and {point.tag for point in edge} == {f"{{{DI}}}waypoint"} for edge in edges.values())
    boxes = {
        key: tuple(float(box.get(side, "")) for side in ("x", "y", "width", "height")) for key, box in shapes.items()
    }
    tasks = [box for key, box in boxes.items() if _local(nodes[key]) != "boundaryEvent"]
    for number, one in enumerate(tasks):
        for other in tasks[number + 1 :]:
            beside = one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0]
            assert beside or one[1] + one[3] <= other[1] or other[1] + other[3] <= one[1], (one, other)


def test_what_a_step_can_do_is_in_its_process() -> None:
    """Conditions, time-outs, undo and retries each have their element."""
    full = Runbook(
        id="full", title="t", why="w", mechanisms=("cpu",), after_change=False, program=FULL, blast_radius="b", undo="u"
    )
    text = bpmn(full)
    assert text.count("isForCompensation") == 2
    assert "PT60S" in text
    assert "mechanism is cpu" in text
    assert "tried up to 3 times" in text
    assert "&lt;b&gt;&amp;" in text
