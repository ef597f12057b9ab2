"""Which spikes a population sees, and when: its own of the step before, and those that wait on their way.

A ``.net`` layer takes its own spikes one step later by a second matrix (netx's ``dense_rec``), as the hub's
feedback does, and lets every synapse of a dense layer wait for up to :data:`DELAY_MAX` whole steps.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import nir
import numpy as np

from snn_deploy.graph.lava.rules import DELAY_MAX, RECURRENT_DELAYS
from snn_deploy.graph.passes.to_chip.terms import RefusalError, Term, Value
from snn_deploy.graph.passes.to_chip.windows import Matrix
from snn_deploy.graph.types import INTEGRATOR_NODES, Plan


def fed_back(plan: Plan, name: str) -> Value:
    """What comes to ``name`` from the step before.

    Raises:
        RefusalError: it is a membrane, or waits longer.
    """
    for source in plan.feedback.get(name, ()):
        if isinstance(plan.node(source), nir.Delay):
            raise RefusalError(
                source,
                "a delay in a loop",
                "spikes return to their neurons one step later",
                "take the Delay out of the loop",
            )
        if isinstance(plan.node(source), INTEGRATOR_NODES):
            raise RefusalError(source, "feeds its membrane back", "spikes return, not membranes")
    return tuple(Term(source, plan.shapes[source], late=True) for source in plan.feedback.get(name, ()))


def apart(name: str, terms: Collection[Term], earlier: Collection[str]) -> tuple[Value, Value]:
    """The ``terms`` of the population ``name`` that populations ``earlier`` than it send, and its own.

    What an earlier one sent in the step before waits one step more. Netx gives both matrices of a recurrent
    layer the same delays; so spikes that wait before one are held by a relay.

    Raises:
        RefusalError: a loop over several populations, a recurrent convolution, a delay in a loop or in a
            convolution, one that is too long, or that differs between recurrent neurons.
    """
    own = tuple(term for term in terms if term.late and term.source == name)
    sent = tuple(
        replace(term, wait=term.wait + 1, late=False) if term.late else term
        for term in terms
        if term.source != name
    )
    for term in sent:
        if term.source not in earlier:
            raise RefusalError(
                name,
                f"sees '{term.source}' of the step before, in a loop over several populations",
                "a population returns to itself alone",
                "train without this loop, or join its populations to one",
            )
        _check_wait(name, term)
    for term in own:
        if not isinstance(term.map, Matrix):
            raise RefusalError(
                name,
                "returns to itself by a convolution, or as an image",
                "a dense layer returns to itself",
                "flatten before the recurrent layer, or train it without recurrence",
            )
        if term.wait.any():
            raise RefusalError(
                name,
                f"returns to itself after {1 + int(term.wait.max())} steps",
                "spikes return to their neurons one step later",
                "take the Delay out of the loop",
            )
    if own:
        sent = tuple(_held(name, term) for term in sent)
    return sent, own


def _held(name: str, term: Term) -> Term:
    """``term`` with spikes that a relay before the layer holds, in place of synapses that wait."""
    if not term.wait.any():
        return term
    rows = np.atleast_2d(term.wait)
    if (rows != rows[0]).any():
        raise RefusalError(
            name,
            f"returns to itself, and its neurons see '{term.source}' with different delays",
            RECURRENT_DELAYS,
            "put the Delay before the weights, or neurons behind it",
        )
    return replace(term, wait=np.zeros((), np.int64), held=tuple(rows[0].tolist()))


def _check_wait(name: str, term: Term) -> None:
    if not term.wait.any():
        return
    if not isinstance(term.map, Matrix):
        raise RefusalError(
            name,
            f"a convolution, or an image, of delayed spikes of '{term.source}'",
            "netx ignores the delays of a convolution",
            "put the Delay where a dense layer reads it",
        )
    if (longest := int(term.wait.max())) > DELAY_MAX:
        raise RefusalError(
            name,
            f"spikes of '{term.source}' wait {longest} steps",
            f"delays of at most {DELAY_MAX} steps",
            "put neurons between two shorter delays",
        )
