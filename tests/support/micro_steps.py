"""Random networks of whole-number neurons, in whole numbers and in micro-steps."""

from __future__ import annotations

import torch

from snn_deploy.graph.passes.micro_steps.expand import MicroSteps
from snn_deploy.graph.passes.micro_steps.schedule import read_schedule
from snn_deploy.graph.passes.micro_steps.whole_numbers import WholeNumbers
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import SPIKING_NODES
from snn_deploy.simulate.reference import Reference
from support.integer_nets import integer_graph


class Expanded:
    """A random network, in whole numbers and in micro-steps, with what it fires."""

    def __init__(self, seed: int) -> None:
        given, self.x = integer_graph(seed)
        whole = Stage.of(given).then(WholeNumbers())
        self.whole = make_plan(whole.subject)
        self.binary = make_plan(whole.then(MicroSteps()).subject)
        self.schedule = read_schedule(self.binary.graph)
        self.frames = self.schedule.frames(self.x)
        self.names = self.whole.of_type(*SPIKING_NODES)
        self.wanted = Reference(self.whole).run(self.x, record=True)

    def differing(self, records: dict[str, torch.Tensor], samples: int = 4) -> int:
        """Numbers that differ from those of the whole-number network."""
        found = 0
        for name in self.names:
            numbers = self.schedule.spikes(name, records[name].reshape(*records[name].shape[:2], -1))
            found += int((numbers != self.wanted.records[name][:, :samples]).sum())
        return found
