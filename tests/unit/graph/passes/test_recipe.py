"""The pass that ``docs/extend.md`` shows how to write works, keeps its promises and is in the journal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from support.graphs import graph, lif

from snn_deploy.graph.passes.keeps import GraphPass
from snn_deploy.graph.passes.protocol import BrokenPassError, Stage
from snn_deploy.simulate.reference import Reference

DOCUMENT = Path(__file__).parents[4] / "docs" / "extend.md"


def example(change: tuple[str, str] = ("", "")) -> GraphPass:
    """The pass in the document, with one text of it replaced."""
    (code,) = re.findall(r"```python\n# fold_scale.py\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    assert change[0] in code
    known: dict[str, Any] = {}
    exec(compile(code.replace(*change), str(DOCUMENT), "exec", dont_inherit=True), known)
    made: GraphPass = known["FoldScale"]()
    return made


def scaled_net() -> nir.NIRGraph:
    nodes = {
        "n": lif((2,)),
        "s": nir.Scale(np.array([2, 3], np.float32)),
        "a": nir.Linear(np.array([[1, 10]], np.float32)),
        "b": nir.Linear(np.array([[5, 7]], np.float32)),
        "m": lif((1,)),
    }
    edges = [("input", "n"), ("n", "s"), ("s", "a"), ("s", "b"), ("a", "m"), ("b", "m"), ("m", "output")]
    return graph(nodes, edges, (2,), (1,))


def test_it_folds_and_says_so():
    net = scaled_net()
    made = Stage.of(net).then(example())
    assert made.subject.nodes["a"].weight.tolist() == [[2, 30]]
    assert made.subject.nodes["b"].weight.tolist() == [[10, 21]]
    assert made.passes == ({"pass": "fold_scale", "made": {"a": ["a", "s"], "b": ["b", "s"]}},)
    x = torch.rand(6, 3, 2)
    assert torch.equal(Reference(net).run(x).output, Reference(made.subject).run(x).output)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("for c in fed]", "for c in fed[:1]]"), "n -> m: 1 ways, before 2"),
        (("(b, name)", "(b,)"), "s: is lost"),
    ],
)
def test_a_slip_in_it_is_caught(change, says):
    with pytest.raises(BrokenPassError) as caught:
        example(change)(scaled_net())
    assert says in str(caught.value)
