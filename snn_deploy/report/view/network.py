"""The network as a graph: one box per layer of neurons with the weights that feed it, in rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from snn_deploy.report import format as fmt
from snn_deploy.report.charts import level
from snn_deploy.report.model import LayerRow, ReportData
from snn_deploy.report.network import KINDS
from snn_deploy.report.shown import NetworkNode
from snn_deploy.report.view.names import short_names

ROW = 76
BOX = 52
LEVELS = 8
_RIGHT = 86.0
"""Boxes lie left of this, in percent, where edges pass a row; these lie right of it."""
_LANES = 4
_PASSING = set(KINDS.values()) - {"input", "output"}


@dataclass(frozen=True, slots=True)
class BoxView:
    """One box: positions in percent (``x``, ``width``) and pixels (``top``); ``level`` colours its synaptic
    operations."""

    key: str
    name: str
    label: str
    parts: str
    figures: str
    x: float
    width: float
    top: int
    level: int


@dataclass(frozen=True, slots=True)
class EdgeView:
    """One edge as a path of 100 x height; its head at (``x``, ``y``) points ``down`` or to the left."""

    path: str
    x: float
    y: float
    down: bool
    recurrent: bool


@dataclass(frozen=True, slots=True)
class NetworkView:
    """All boxes and edges; ``height`` in pixels."""

    boxes: tuple[BoxView, ...]
    edges: tuple[EdgeView, ...]
    height: int
    summary: str


def box_of(nodes: Sequence[NetworkNode]) -> dict[str, str]:
    """The box of every node, named by its neurons.

    Neurons, inputs and outputs have a box of their own. Any other node is in the box of what it feeds, where
    that is one box, and has its own otherwise.
    """
    feeds: dict[str, list[str]] = {node.name: [] for node in nodes}
    for node in nodes:
        for source in (*node.sources, *node.feedback):
            feeds[source].append(node.name)
    found = {node.name: node.name for node in nodes if node.kind not in _PASSING}
    for node in reversed(nodes):
        if node.name not in found:
            boxes = {found.get(name) for name in feeds[node.name]}
            (box, *others) = boxes or {None}
            found[node.name] = node.name if box is None or others else box
    by_name = {node.name: node for node in nodes}
    outputs = {name for name, box in found.items() if by_name[box].kind == "output" and name != box}
    return {name: _last(name, outputs, by_name, found) for name in found}


def _last(name: str, outputs: set[str], nodes: Mapping[str, NetworkNode], found: Mapping[str, str]) -> str:
    """Nodes between the last neurons and the output have a box named by the last of them."""
    return next(iter(nodes[found[name]].sources), name) if name in outputs else found[name]


def members_of(nodes: Sequence[NetworkNode]) -> dict[str, list[NetworkNode]]:
    """The nodes of every box, in the order of both."""
    boxes = box_of(nodes)
    members: dict[str, list[NetworkNode]] = {}
    for node in nodes:
        members.setdefault(boxes[node.name], []).append(node)
    return members


def network_view(data: ReportData) -> NetworkView | None:
    """The graph with shapes, rates and synaptic operations; None without nodes."""
    if not data.network:
        return None
    members = members_of(data.network)
    edges = _box_edges(data.network, {node.name: box for box, nodes in members.items() for node in nodes})
    rank = _ranks(list(members), [(a, b) for a, b, recurrent in edges if not recurrent])
    rows: dict[int, list[str]] = {}
    for name in members:
        rows.setdefault(rank[name], []).append(name)
    passing = any(recurrent or rank[b] != rank[a] + 1 for a, b, recurrent in edges)
    right = _RIGHT if passing else 100.0
    place = {
        name: (right * position / len(row), right / len(row) - (2 if len(row) > 1 else 0), ROW * number)
        for number, row in rows.items()
        for position, name in enumerate(row)
    }
    rates = {layer.layer: layer for layer in data.activity.layers} if data.activity else {}
    return NetworkView(
        boxes=tuple(_boxes(members, place, rates)),
        edges=tuple(_edges(edges, place, rank)),
        height=ROW * (max(rank.values()) + 1) - (ROW - BOX),
        summary=_summary(data),
    )


def keys(names: Sequence[str]) -> dict[str, str]:
    """Element ids, which names of strangers cannot be."""
    return {name: f"layer-{number}" for number, name in enumerate(names)}


def _box_edges(nodes: Sequence[NetworkNode], boxes: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    found = [(boxes[a], boxes[node.name], False) for node in nodes for a in node.sources]
    found = [edge for edge in found if edge[0] != edge[1]]
    found += [(boxes[a], boxes[node.name], True) for node in nodes for a in node.feedback]
    return list(dict.fromkeys(found))


def _ranks(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Length of the longest path from the input; boxes come in order of execution, but for those that a loop
    puts before what feeds them."""
    rank = dict.fromkeys(names, 0)
    for _ in names:
        moved = False
        for a, b in edges:
            if rank[b] < rank[a] + 1 < len(names):
                rank[b], moved = rank[a] + 1, True
        if not moved:
            break
    used = {old: new for new, old in enumerate(sorted(set(rank.values())))}
    return {name: used[old] for name, old in rank.items()}


def _boxes(
    members: Mapping[str, Sequence[NetworkNode]],
    place: Mapping[str, tuple[float, float, int]],
    rates: Mapping[str, LayerRow],
) -> Iterator[BoxView]:
    labels = short_names(list(members))
    ids = keys(list(members))
    sops = [row.sops for row in rates.values() if row.sops > 0]
    low, high = (min(sops), max(sops)) if sops else (1.0, 1.0)
    for name, nodes in members.items():
        x, width, top = place[name]
        row = rates.get(name)
        yield BoxView(
            key=ids[name],
            name=name,
            label=labels[name],
            parts=" → ".join(words(node) for node in nodes if node.kind not in {"input", "output"}),
            figures=_figures(nodes[-1], row),
            x=round(x, 3),
            width=round(width, 3),
            top=top,
            level=level(row.sops, low, high, LEVELS) if row is not None else 0,
        )


def words(node: NetworkNode) -> str:
    """What a node is, with its parameters."""
    return " ".join(filter(None, [node.kind, node.detail]))


def _figures(node: NetworkNode, row: LayerRow | None) -> str:
    parts = [fmt.shape(node.shape)]
    if row is not None and row.firing_rate is not None:
        parts.append(f"rate {fmt.si(row.firing_rate)}")
    if row is not None and row.edges:
        parts.append(f"{fmt.si(row.sops)} SOPs")
    return " · ".join(parts)


def _edges(
    edges: Sequence[tuple[str, str, bool]],
    place: Mapping[str, tuple[float, float, int]],
    rank: Mapping[str, int],
) -> Iterator[EdgeView]:
    passing = 0
    for a, b, recurrent in edges:
        (xa, wa, ya), (xb, wb, yb) = place[a], place[b]
        if rank[b] == rank[a] + 1 and not recurrent:
            start, end = xa + wa / 2, xb + wb / 2
            yield EdgeView(f"M{start:.2f} {ya + BOX}L{end:.2f} {yb - 2}", round(end, 2), yb - 2, True, False)
            continue
        lane = _RIGHT + 3 + 3 * (passing % _LANES)
        passing += 1
        leave, enter = ya + BOX * 0.7, yb + BOX * 0.3
        path = f"M{xa + wa:.2f} {leave:.1f}H{lane:.2f}V{enter:.1f}H{xb + wb:.2f}"
        yield EdgeView(path, round(xb + wb, 2), round(enter, 1), False, recurrent)


def _summary(data: ReportData) -> str:
    weights = sum(node.weights for node in data.network)
    neurons = data.activity.neurons if data.activity else 0
    parts = [f"{fmt.number(len(data.network))} nodes", f"{fmt.number(weights)} weights"]
    if neurons:
        parts.append(f"{fmt.number(neurons)} neurons")
    return ", ".join(parts)
