"""Integer networks written as C into a folder, without a hub graph."""

from __future__ import annotations

from pathlib import Path

from snn_deploy.export.c.program import program
from snn_deploy.export.c.runtime import HEADER, NET, SOURCE, CProgram
from snn_deploy.export.c.source import header, source
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.net import LavaNet


def write_program(net: LavaNet, folder: Path, *, dense: bool = False) -> Path:
    """``model.net``, with the C code beside it; ``dense`` takes the loops over all synapses."""
    made = program(net)
    if dense:
        made = program(net, loops={layer.name: False for layer in made.layers})
    folder.mkdir(exist_ok=True)
    write_net(net, folder / NET)
    (folder / HEADER).write_text(header(made))
    (folder / SOURCE).write_text(source(made))
    return folder / NET


def compiled(net: LavaNet, folder: Path, *, dense: bool = False, extra: tuple[str, ...] = ()) -> CProgram:
    """The program of ``net``, ready to run."""
    return CProgram(write_program(net, folder, dense=dense), extra=extra)
