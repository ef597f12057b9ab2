"""The certificate of a conversion, as it lies in its folder: what the conversion kept, and what it lost
where."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from snn_deploy.core.damage import Count, Document, Finite, Fraction, Sha256

VERSION = 1
MAX_TIMESTEPS = 4096
Steps = Annotated[int, Field(ge=1, le=MAX_TIMESTEPS)]
Positive = Annotated[Finite, Field(ge=0)]


class SweepRow(Document):
    """One number of steps; the network was calibrated for it.

    Attributes:
        timesteps: T.
        quantised: accuracy of the ANN with T levels per activation: what the conversion would keep if all
        spikes
            arrived evenly.
        spiking: accuracy of the spiking network, measured on its graph; ``correct`` of all samples.
        same_decision: share of samples that it decides as the ANN does.
        sops: synaptic operations per inference, the input's included.
    """

    timesteps: Steps
    quantised: Fraction
    spiking: Fraction
    correct: Count
    same_decision: Fraction
    sops: Positive


class LayerError(Document):
    """Where one layer of neurons loses: roots of mean squared errors, as shares of that of its activations.

    Attributes:
        layer: name of the neurons.
        clipping: of activations above the threshold, which T spikes cannot say.
        quantisation: of T levels between, for an even current that is the ANN's.
        arrived: of what comes in: the mean current is not the ANN's, after the correction of the weights.
        unevenness: of spikes against the quantised mean current: they come unevenly.
        total: of the output against the ANN's activations. Errors can cancel: it may be less than its parts.
        exact: share of neurons and samples that give exactly the quantised value of their mean current.
    """

    layer: str
    clipping: Positive
    quantisation: Positive
    arrived: Positive
    unevenness: Positive
    total: Positive
    exact: Fraction


class Certificate(Document):
    """``certificate.json``; ``sha256`` is that of everything else in it
    (:func:`snn_deploy.core.damage.seal`).

    Attributes:
        version: of this document.
        name: of the network.
        ann: where it came from: a file, a run, or a module, with hashes.
        timesteps: T of the network in the folder.
        network_sha256: of ``network.nir``.
        ann_sha256: of ``ann.onnx``; None where there is none.
        accuracy: of the ANN on the test samples; ``correct`` of all.
        samples: test samples; ``data`` says of what.
        calibration: what thresholds, starts and weights were chosen on, and how.
        macs: multiplications of one inference of the ANN.
        sweep, layers: see their classes; the layers are those of T ``timesteps``.
        kept, lost: what is kept exactly, and what is not, a sentence each.
        notes: what a reader must know about the data.
        data: the data set as recipes have it; None for a file, which must be named again.
    """

    version: Literal[1]
    name: str
    ann: dict[str, Any]
    timesteps: Steps
    network_sha256: Sha256
    ann_sha256: Sha256 | None = None
    accuracy: Fraction
    correct: Count
    samples: Annotated[int, Field(ge=1)]
    calibration: dict[str, Any]
    macs: Positive
    sweep: tuple[SweepRow, ...] = Field(min_length=1)
    layers: tuple[LayerError, ...] = Field(min_length=1)
    kept: tuple[str, ...]
    lost: tuple[str, ...]
    notes: tuple[str, ...]
    data: dict[str, Any] | None
    samples_of: str
    environment: dict[str, Any]
    sha256: Sha256

    @property
    def chosen(self) -> SweepRow:
        """The row of the network in the folder."""
        return next(row for row in self.sweep if row.timesteps == self.timesteps)
