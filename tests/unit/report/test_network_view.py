"""The network as boxes and arrows, and what each box opens."""

from __future__ import annotations

from support.reports import LAYERS, digits_plan
from support.shown import FAILED, looped_plan, seen_report

from snn_deploy.hardware.fit import fit
from snn_deploy.hardware.profile import load_profile
from snn_deploy.report import assemble
from snn_deploy.report.model import Header, ReportData
from snn_deploy.report.network import network_nodes
from snn_deploy.report.view.layers import layer_panels
from snn_deploy.report.view.network import ROW, box_of, network_view


def test_nodes_say_what_they_are():
    nodes = {node.name: node for node in network_nodes(digits_plan())}
    conv = nodes["features.1.conv"]
    assert (conv.kind, conv.detail, conv.shape) == ("convolution", "3×3, 16 to 32, stride 2", (32, 8, 8))
    assert conv.weights == 32 * 16 * 9
    assert (nodes["pool"].kind, nodes["pool"].detail) == ("average pool", "2×2")
    assert nodes["classifier.linear"].detail == "512 to 10"


def test_weights_and_shaping_are_in_the_box_of_the_neurons_they_feed():
    boxes = box_of(network_nodes(digits_plan()))
    assert boxes["features.1.conv"] == FAILED
    assert {boxes[name] for name in ("pool", "flatten", "classifier.linear")} == {LAYERS[3]}
    assert boxes["input"] == "input"


def test_a_skip_passes_its_row_and_a_loop_is_dashed():
    """n1 feeds w2 and w3: the arrow past n2 is drawn beside the boxes; n3 feeds itself through back."""
    nodes = network_nodes(looped_plan())
    boxes = box_of(nodes)
    assert boxes["w3"] == boxes["back"] == "n3"
    view = network_view(ReportData(header=Header(title="net", kind="nir"), network=nodes))
    tops = {box.name: box.top for box in view.boxes}
    assert [tops[name] for name in ("input", "n1", "n2", "n3", "output")] == [ROW * i for i in range(5)]
    aside = [edge for edge in view.edges if not edge.down]
    assert sorted(edge.recurrent for edge in aside) == [False, True]
    assert sum(edge.down for edge in view.edges) == 4
    assert all(box.x + box.width <= 86 for box in view.boxes)


def test_boxes_of_one_row_stand_beside_each_other():
    nodes = network_nodes(looped_plan())
    side = [node.model_copy(update={"sources": ("n1",)}) if node.name == "w3" else node for node in nodes]
    view = network_view(ReportData(header=Header(title="net", kind="nir"), network=tuple(side)))
    by_name = {box.name: box for box in view.boxes}
    assert by_name["n2"].top == by_name["n3"].top
    assert by_name["n2"].x + by_name["n2"].width <= by_name["n3"].x


def test_a_panel_has_the_row_the_proofs_and_the_findings_of_its_layer():
    chip = assemble.chip_fit(fit(digits_plan(), load_profile("speck2f")))
    panels = {panel.name: panel for panel in layer_panels(seen_report(fits=(chip,)))}
    panel = panels[FAILED]
    facts = dict(panel.facts)
    assert facts["Neurons"] == "2,048"
    assert "of 18.9" in facts["Synaptic operations"] or "dense" in facts["Synaptic operations"]
    assert [(tone, check) for tone, check, _ in panel.checks] == [
        ("ok", "nir in our reference"),
        ("bad", "onnx (step) in onnxruntime"),
    ]
    named = {finding.where for finding in chip.findings}
    for box, found in panels.items():
        members = {name for name, _ in found.facts}
        assert bool(found.findings) == bool(members & named), box
    assert any(panel.findings for panel in panels.values())
