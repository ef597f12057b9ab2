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


class FineTuningRecord(Document):
    """How the ANN was trained for ``levels`` per activation before it was converted: against its own logits,
    on training images.

    Attributes:
        epochs, steps, seed, lr, batch_size, tau: of the training; ``tau`` is the temperature of the logits.
        best_epoch: whose weights were kept, by accuracy on the validation split.
        seconds, threads: what it took, on how many threads.
        validation_ann, validation_before, validation_after: accuracies on ``validation_samples`` of the ANN
            as it came, and of the ANN with levels before and after. Where the ANN was trained on those images
            its own says little.
        accuracy: of the ANN with levels after it, on the test samples.
    """

    levels: Steps
    epochs: Annotated[int, Field(ge=1)]
    steps: Count
    seed: Count
    lr: Positive
    batch_size: Annotated[int, Field(ge=1)]
    tau: Positive
    best_epoch: Count
    seconds: Positive
    threads: Annotated[int, Field(ge=1)]
    validation_samples: Count
    validation_ann: Fraction
    validation_before: Fraction
    validation_after: Fraction
    accuracy: Fraction


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
        fine_tuning: what was done to the ANN first; None for nothing.
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
    fine_tuning: FineTuningRecord | None = None
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
