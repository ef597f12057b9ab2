"""A network file as text."""

from __future__ import annotations

from pathlib import Path

from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.text import net_text
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.text import graph_text


def file_text(path: Path) -> str:
    """The text of a ``.nir`` or ``.net`` file.

    Raises:
        DataError: the file is missing or damaged.
        UnsupportedError: a graph that cannot be executed.
    """
    if path.suffix == ".net":
        return net_text(read_net(path))
    return graph_text(make_plan(read_nir(path)).graph)
