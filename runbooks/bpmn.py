"""A runbook as a BPMN 2.0 process with its diagram, for modelling tools.

Source of names and order: OMG, Business Process Model and Notation 2.0.2 (formal/13-12-09), BPMN20.xsd and BPMNDI.xsd.

    start ─► approve ─► yes? ─► step ─► … ─► done
                         │       │ ╚ undo (compensation)
                         │       └ failed, or timed out ─► undo what came before ─► failed
                         └─► declined
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from runbooks.condition import read_condition
from runbooks.program import StepSpec
from runbooks.runbook import Runbook
from runbooks.step import AnyStep
from runbooks.wording import bound_for_plan

MODEL: Final = "http://www.omg.org/spec/BPMN/20100524/MODEL"
DIAGRAM: Final = "http://www.omg.org/spec/BPMN/20100524/DI"
DC: Final = "http://www.omg.org/spec/DD/20100524/DC"
DI: Final = "http://www.omg.org/spec/DD/20100524/DI"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
NAMESPACE: Final = "https://watchkeeper.invalid/runbooks"
PREFIXES: Final = {"bpmn": MODEL, "bpmndi": DIAGRAM, "dc": DC, "di": DI, "xsi": XSI}
KINDS: Final = {"ask": "userTask", "notify": "sendTask", "command": "serviceTask"}
# Pixels: the sizes that modelling tools draw by default.
TASK, GATEWAY, EVENT = (100, 80), (50, 50), (36, 36)
MAIN_Y, UNDO_Y, FAIL_Y, COLUMN = 160, 320, 460, 170


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> tuple[float, float]:
        return self.x + self.width, self.y + self.height / 2

    @property
    def left(self) -> tuple[float, float]:
        return self.x, self.y + self.height / 2

    @property
    def top(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height


class _Drawing:
    """The process and its diagram, written side by side."""

    def __init__(self, process_id: str, name: str) -> None:
        for prefix, uri in PREFIXES.items():
            ET.register_namespace(prefix, uri)
        self.root = ET.Element(
            f"{{{MODEL}}}definitions", {"id": "definitions", "targetNamespace": NAMESPACE, "exporter": "Watchkeeper"}
        )
        self._process = ET.SubElement(
            self.root, f"{{{MODEL}}}process", {"id": process_id, "name": name, "isExecutable": "false"}
        )
        diagram = ET.SubElement(self.root, f"{{{DIAGRAM}}}BPMNDiagram", {"id": "diagram"})
        self._plane = ET.SubElement(diagram, f"{{{DIAGRAM}}}BPMNPlane", {"id": "plane", "bpmnElement": process_id})
        self._boxes: dict[str, _Box] = {}
        self._nodes: dict[str, ET.Element] = {}
        self._flows = 0
        self._associations: list[ET.Element] = []

    def node(self, tag: str, node_id: str, name: str, middle: tuple[float, float], **attributes: str) -> ET.Element:
        """A flow node whose middle is there."""
        size = EVENT if tag.endswith("Event") else GATEWAY if tag.endswith("Gateway") else TASK
        box = _Box(middle[0] - size[0] / 2, middle[1] - size[1] / 2, *size)
        values = {"id": node_id} | ({"name": name} if name else {}) | attributes
        element = ET.SubElement(self._process, f"{{{MODEL}}}{tag}", values)
        self._boxes[node_id], self._nodes[node_id] = box, element
        shape = {"id": f"{node_id}_shape", "bpmnElement": node_id}
        if tag.endswith("Gateway"):
            shape["isMarkerVisible"] = "true"
        bounds = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
        drawn = ET.SubElement(self._plane, f"{{{DIAGRAM}}}BPMNShape", shape)
        ET.SubElement(drawn, f"{{{DC}}}Bounds", {name: f"{value:g}" for name, value in bounds.items()})
        return element

    def define(self, element: ET.Element, tag: str) -> ET.Element:
        """What an event is about; the flows of the event come before it."""
        return ET.SubElement(element, f"{{{MODEL}}}{tag}", {"id": f"{element.get('id')}_definition"})

    def flow(
        self,
        source: str,
        target: str,
        name: str = "",
        *,
        condition: str = "",
        via: float | None = None,
        is_default: bool = False,
    ) -> None:
        """A sequence flow; `via` is the height at which it goes along, `is_default` what a gateway does otherwise."""
        self._flows += 1
        flow_id = f"flow_{self._flows}"
        values = {"id": flow_id} | ({"name": name} if name else {}) | {"sourceRef": source, "targetRef": target}
        flow = ET.SubElement(self._process, f"{{{MODEL}}}sequenceFlow", values)
        if condition:
            expression = {f"{{{XSI}}}type": "bpmn:tFormalExpression"}
            ET.SubElement(flow, f"{{{MODEL}}}conditionExpression", expression).text = condition
        start, end = self._boxes[source], self._boxes[target]
        if via is None:
            points = [start.right, end.left]
        elif via < MAIN_Y:
            points = [start.top, (start.top[0], via), (end.top[0], via), end.top]
        else:
            points = [start.bottom, (start.bottom[0], via), end.left]
        self._edge(flow_id, points)
        if is_default:
            self._nodes[source].set("default", flow_id)

    def associate(self, source: str, target: str) -> None:
        """From a compensation event to the activity that takes back."""
        values = {
            "id": f"{target}_association",
            "associationDirection": "One",
            "sourceRef": source,
            "targetRef": target,
        }
        self._associations.append(ET.Element(f"{{{MODEL}}}association", values))
        self._edge(values["id"], [self._boxes[source].bottom, self._boxes[target].top])

    def _edge(self, element: str, points: list[tuple[float, float]]) -> None:
        edge = ET.SubElement(self._plane, f"{{{DIAGRAM}}}BPMNEdge", {"id": f"{element}_edge", "bpmnElement": element})
        for x, y in points:
            ET.SubElement(edge, f"{{{DI}}}waypoint", {"x": f"{x:g}", "y": f"{y:g}"})

    def finish(self) -> str:
        """The document. Flows are named inside their nodes, artifacts stand after them, as the schema orders it."""
        flows = [element for element in self._process if element.tag.endswith("}sequenceFlow")]
        for node_id, node in self._nodes.items():
            place = sum(child.tag.endswith("}documentation") for child in node)
            for kind, end in (("incoming", "targetRef"), ("outgoing", "sourceRef")):
                for flow in flows:
                    if flow.get(end) == node_id:
                        mark = ET.Element(f"{{{MODEL}}}{kind}")
                        mark.text = flow.get("id")
                        node.insert(place, mark)
                        place += 1
        self._process.extend(self._associations)
        ET.indent(self.root)
        return ET.tostring(self.root, encoding="unicode", xml_declaration=True) + "\n"


def bpmn(book: Runbook, known: Mapping[str, AnyStep] | None = None, service: str = "the service") -> str:
    """A runbook as BPMN 2.0 XML. Raises RunbookError where a step can't be described."""
    drawing = _Drawing(f"runbook_{book.id.replace('-', '_')}", book.title.replace("{service}", service))
    drawing.node("startEvent", "start", "proposed", (100, MAIN_Y))
    drawing.node("userTask", "approve", "approve the runbook", (230, MAIN_Y))
    drawing.node("exclusiveGateway", "approved", "approved?", (360, MAIN_Y))
    drawing.node("endEvent", "declined", "declined", (430, FAIL_Y))
    drawing.flow("start", "approve")
    drawing.flow("approve", "approved")
    drawing.flow("approved", "declined", "no", via=FAIL_Y, is_default=True)
    last, condition, x = "approved", "approved", 360.0
    failures: list[str] = []
    for number, spec in enumerate(book.program.steps, 1):
        x += COLUMN + (80 if spec.when else 0)
        task = f"step_{number}"
        if spec.when:
            drawing.node("exclusiveGateway", f"{task}_if", read_condition(spec.when), (x - 110, MAIN_Y))
            drawing.flow(last, f"{task}_if", condition=condition)
            last, condition = f"{task}_if", read_condition(spec.when)
        failures += _activity(drawing, task, spec, x, spec.service or service, known)
        drawing.flow(last, task, condition=condition)
        last, condition = task, ""
        if spec.when:
            drawing.node("exclusiveGateway", f"{task}_then", "", (x + 110, MAIN_Y))
            drawing.flow(task, f"{task}_then")
            drawing.flow(f"{task}_if", f"{task}_then", "else", via=MAIN_Y - 80, is_default=True)
            last, x = f"{task}_then", x + 80
    drawing.node("endEvent", "done", "done", (x + COLUMN, MAIN_Y))
    drawing.flow(last, "done", condition=condition)
    throw = drawing.node("intermediateThrowEvent", "undo", "undo what was done", (x + COLUMN, FAIL_Y))
    drawing.define(throw, "compensateEventDefinition")
    drawing.node("endEvent", "failed", "failed", (x + COLUMN + 100, FAIL_Y))
    for source in failures:
        drawing.flow(source, "undo", via=FAIL_Y)
    drawing.flow("undo", "failed")
    return drawing.finish()


def _activity(
    drawing: _Drawing, task: str, spec: StepSpec, x: float, service: str, known: Mapping[str, AnyStep] | None
) -> list[str]:
    """A step's task with its undo; returns the events by which it fails."""
    bound = bound_for_plan(spec, service, {}, known)
    activity = drawing.node(KINDS.get(spec.kind, "serviceTask"), task, bound.plan(service, None), (x, MAIN_Y))
    if spec.retries.times:
        note = ET.SubElement(activity, f"{{{MODEL}}}documentation")
        note.text = f"tried up to {spec.retries.times + 1} times"
    bottom = MAIN_Y + TASK[1] / 2
    error = drawing.node("boundaryEvent", f"{task}_failed", "", (x - 38, bottom), attachedToRef=task)
    drawing.define(error, "errorEventDefinition")
    failures = [f"{task}_failed"]
    if spec.timeout_s is not None:
        timer = drawing.node("boundaryEvent", f"{task}_late", "", (x, bottom), attachedToRef=task)
        duration = {f"{{{XSI}}}type": "bpmn:tFormalExpression"}
        wait = ET.SubElement(drawing.define(timer, "timerEventDefinition"), f"{{{MODEL}}}timeDuration", duration)
        wait.text = f"PT{spec.timeout_s:g}S"
        failures.append(f"{task}_late")
    if back := bound.undo_plan(service):
        event = drawing.node("boundaryEvent", f"{task}_compensate", "", (x + 38, bottom), attachedToRef=task)
        drawing.define(event, "compensateEventDefinition")
        drawing.node("serviceTask", f"{task}_undo", back, (x + 38, UNDO_Y), isForCompensation="true")
        drawing.associate(f"{task}_compensate", f"{task}_undo")
    return failures
