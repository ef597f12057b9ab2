"""The student ``rsnn``: dense layers of recurrent spiking neurons, for series such as speech.

::

    x [T, B, C, H, W] -> flatten -> hidden1 .. hiddenM -> readout -> [T, B, K]

    hidden   linear (no bias), neuron, whose spikes come back to the layer where it is recurrent, and delay
             where delays are learned
    readout  linear (no bias), and neuron when the readout spikes

See :mod:`snn_deploy.models.recurrent` for the equations. Recurrent layers train step by step, which takes
longer than layers that feed forward.
"""

from __future__ import annotations

from collections import OrderedDict

from spikingjelly.activation_based import layer
from torch import nn

from snn_deploy.core.registry import STUDENTS
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import RsnnOptions
from snn_deploy.models.parts import Layers, Shape, SpikingParts, Student
from snn_deploy.models.recurrent import AxonalDelay, make_recurrent


@STUDENTS.register("rsnn")
def rsnn(options: RsnnOptions, *, in_shape: Shape, classes: int, timesteps: int) -> Student:
    """Dense layers of recurrent spiking neurons, with learned delays where asked for.

    Delays are at most ``timesteps - 1``, since longer ones never arrive.
    """
    layers: Layers = OrderedDict(flatten=layer.Flatten(step_mode="m"))
    features = in_shape[0] * in_shape[1] * in_shape[2]
    longest = min(options.longest_delay, timesteps - 1)
    for number, units in enumerate(options.hidden, start=1):
        parts: Layers = OrderedDict(linear=layer.Linear(features, units, bias=False, step_mode="m"))
        parts["neuron"] = (
            make_recurrent(options.neuron, units) if options.recurrent else make_neuron(options.neuron)
        )
        if longest:
            parts["delay"] = AxonalDelay(units, longest)
        layers[f"hidden{number}"] = nn.Sequential(parts)
        features = units
    network: Student = SpikingParts(options).network(layers, features, classes)
    return network
