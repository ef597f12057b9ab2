"""A network as text: of a file, or of code."""

from __future__ import annotations

from pathlib import Path

from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.text import net_text
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.text import graph_text
from snn_deploy.tasks.own import Own


def file_text(path: Path) -> str:
    """The text of a ``.nir`` or ``.net`` file.

    Raises:
        DataError: the file is missing or damaged.
        UnsupportedError: a graph that cannot be executed.
    """
    if path.suffix == ".net":
        return net_text(read_net(path))
    return graph_text(make_plan(read_nir(path)).graph)


def module_text(name: str, own: Own) -> str:
    """Module paths of ``FILE.py:NAME``, which taps of methods name, with kinds and numbers of parameters; and
    its graph, where ``own`` tells the shape of its input.

    Raises:
        ConfigError, DataError: as :func:`snn_deploy.tasks.open_module.open_module`.
        UnsupportedError: a graph was asked for, and NIR cannot express the module.
    """
    from snn_deploy.graph.readers.torch_modules.known import is_known
    from snn_deploy.recipes.own_code import OwnCode
    from snn_deploy.tasks.open_module import build_module, open_module

    module = build_module(OwnCode.of(name), own)
    rows = [
        (path, type(m).__name__, f"{sum(p.numel() for p in m.parameters()):,}")
        for path, m in module.named_modules()
        if path and not is_known(module.get_submodule(path.rpartition(".")[0]))
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = [f"{name}: module paths, kinds, parameters"]
    lines += [
        f"    {path:<{widths[0]}}  {kind:<{widths[1]}}  {count:>{widths[2]}}" for path, kind, count in rows
    ]
    text = "\n".join(lines) + "\n"
    if own.shape is None:
        return text + "With --shape CxHxW, such as 2x34x34, its graph is shown too.\n"
    return text + graph_text(open_module(Path(name), own).plan.graph)
