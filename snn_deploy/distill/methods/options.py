"""The options of the methods: what a recipe may say of each.

Their equations stand in the modules of the methods. This one loads without torch, so that recipes are checked
at once; so do all modules of options.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from snn_deploy.core.registry import Options


class NoneOptions(Options):
    """Options of ``none``.

    Attributes:
        loss_on: whether labels act on the mean over time of the logits, or on the logits of every step.
    """

    loss_on: Literal["mean", "steps"] = "mean"


class KdOptions(Options):
    """Options of ``kd``; ``alpha`` 0.5 and ``tau`` 3 are our choice.

    Attributes:
        ce: weight of the labels' part of the loss.
        alpha: share of the teacher in the loss; the labels have the rest.
        tau: temperature of the softmax of both networks.
    """

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.5, ge=0, le=1)
    tau: float = Field(default=3.0, gt=0, allow_inf_nan=False)


Temperature = Literal["one", "tau"]


class TserOptions(Options):
    """Options of ``tser``; all defaults are our choice.

    Attributes:
        ce: weight of the labels' part of the loss.
        alpha: share of the teacher in the loss of every step; the labels have the rest.
        lam: weight of the entropy of the student's steps, which is rewarded; 0 for none.
        tau: temperature of the softmax of both networks.
        tau_squared: multiply the teacher's part by ``tau`` squared.
        ce_temperature: of the softmax that the labels see.
        entropy_temperature: of the softmax whose entropy is rewarded.
    """

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.5, ge=0, le=1)
    lam: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    tau: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    tau_squared: bool = True
    ce_temperature: Temperature = "one"
    entropy_temperature: Temperature = "tau"


Distance = Literal["mse", "kl"]


class TssdOptions(Options):
    """Options of ``tssd``.

    Attributes:
        ce: weight of the labels on the short run.
        ce_long: weight of the labels on the long run.
        ce_weak: weight of the labels on the weak classifier.
        alpha: weight of the temporal part: the long run teaches the short one.
        beta: weight of the spatial part: the output teaches the weak classifier.
        long_timesteps: steps of the long run; by default twice those of the student.
        weak_tap: module path of the student's layer that the weak classifier reads.
        distance: between the logits of both sides: mean square, or Kullback-Leibler at ``tau``.
        tau: temperature of the softmax, for ``distance: kl``.
        passes: 2 runs the short and the long one apart; with 1 the short one is the first steps of the long.
        detach: no gradient reaches the side that teaches.
    """

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    ce_long: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    ce_weak: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    beta: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    long_timesteps: int | None = Field(default=None, ge=1, le=4096)
    weak_tap: str = "block2.neuron"
    distance: Distance = "kl"
    tau: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    passes: Literal[1, 2] = 2
    detach: bool = True


Scaling = Literal["none", "batch_minmax", "sample_minmax"]
MapNorm = Scaling | Literal["share"]
_VARIANTS: dict[str, dict[str, Any]] = {
    "ours": {},
    "raw-counts": {"norm": "none"},
    "official-code": {
        "cam": "classifier",
        "norm": "batch_minmax",
        "map_tau_squared": False,
        "map_floor": 1e-10,
        "mixing": "probabilities",
        "noise_scale": "variance",
        "noise_gradient": True,
    },
}


class NoiseOptions(Options):
    """How logits are smoothed; defaults are those of ``variant: ours``.

    Attributes:
        tau: temperature of the softmax of both networks' logits.
        tau_squared: multiply the term of the logits by ``tau`` squared.
        noise: strength of the noise; with ``mixing: probabilities`` its share, at most 1.
        mixing: whether noise is added to the logits or mixed with the probabilities.
        noise_scale: whether ``noise`` scales the standard deviation or the variance of the logits.
        noise_gradient: the gradient passes the scale of the noise.
    """

    tau: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    tau_squared: bool = True
    noise: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    mixing: Literal["logits", "probabilities"] = "logits"
    noise_scale: Literal["std", "variance"] = "std"
    noise_gradient: bool = False


class SamdNldOptions(NoiseOptions):
    """Options of ``samd_nld``.

    Attributes:
        variant: presets of the other options: ``ours``, those of the released code, or maps without scaling,
            which want a weight ``samd`` of their own.
        ce: weight of the cross entropy with the labels.
        samd: weight of the distance between the saliency maps.
        nld: weight of the distance between the smoothed logits.
        student_tap: module path of the student's layer whose spikes make its map.
        teacher_tap: module path of the teacher's layer whose features make its map.
        teacher_head: module path of the teacher's linear layer behind its tap, for ``cam: classifier``.
        cam: how the teacher's channels are weighted: by gradients, or by the weights of its classifier.
        cam_class: class whose map is taken: the teacher's prediction or the label.
        cam_relu: negative parts of the teacher's map are set to 0.
        norm: how maps are brought to one scale: each map or the batch to 0 .. 1, to shares of their sum, or
            not at all.
        map_tau: temperature of the softmax over the positions of a map; shares have none.
        map_tau_squared: multiply the term of the maps by ``map_tau`` squared.
        map_floor: added to the probabilities of the positions.
        resize: ``pool`` averages maps of different sizes down to the smaller one (ours); ``refuse`` does not
            build.
    """

    variant: Literal["ours", "official-code", "raw-counts"] = "ours"
    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    samd: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    nld: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    student_tap: str = "block3.neuron"
    teacher_tap: str = "block3.relu"
    teacher_head: str = "linear"
    cam: Literal["grad-cam", "classifier"] = "grad-cam"
    cam_class: Literal["predicted", "label"] = "predicted"
    cam_relu: bool = True
    norm: MapNorm = "sample_minmax"
    map_tau: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    map_tau_squared: bool = True
    map_floor: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    resize: Literal["refuse", "pool"] = "refuse"

    @model_validator(mode="before")
    @classmethod
    def _variant_first(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if given.get("variant") == "paper":
            raise ValueError("variant: 'paper' is called 'raw-counts', for no released script has such maps")
        return {**_VARIANTS.get(str(given.get("variant")), {}), **given}

    @model_validator(mode="after")
    def _values_make_sense(self) -> Self:
        if self.samd == self.nld == 0:
            raise ValueError("samd and nld are both 0: nothing is distilled")
        if self.norm == "none" and "samd" not in self.model_fields_set:
            raise ValueError("samd: on raw counts a weight of 1 silences the layer; give one, such as 0.02")
        if self.norm == "share" and "map_tau" in self.model_fields_set:
            raise ValueError("map_tau: shares of the spikes are probabilities and have no temperature")
        if self.norm == "share" and not self.cam_relu:
            raise ValueError("cam_relu: negative parts of a map are no shares of anything")
        if self.mixing == "probabilities" and self.noise > 1:
            raise ValueError(f"noise {self.noise} is the share of the noise in a mixture: at most 1")
        return self


class BkdOptions(Options):
    """Options of ``bkd``.

    Attributes:
        ce: weight of the cross entropy with the labels.
        feature: weight of the distance between restored and the teacher's features; 0 leaves it out.
        logit: weight of the soft labels; 0 leaves them out.
        student_tap: module path of the student's layer whose features are blurred.
        teacher_tap: module path of the teacher's layer whose features are to be restored.
        blur: probability that a channel of the student's features is set to 0.
        clip: scale the teacher's features to the student's maximum.
        reduction: mean over all elements, or their sum by the samples as in the source.
        tau: temperature of the softmax of both networks.
        resize: ``pool`` averages features of different sizes down to the smaller one (ours); ``refuse`` does
            not build.
    """

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    feature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    logit: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    student_tap: str = "block3.neuron"
    teacher_tap: str = "block3.relu"
    blur: float = Field(default=0.15, ge=0, lt=1)
    clip: bool = False
    reduction: Literal["mean", "sum"] = "mean"
    tau: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    resize: Literal["refuse", "pool"] = "refuse"

    @model_validator(mode="after")
    def _weights_make_sense(self) -> Self:
        if self.feature == self.logit == 0:
            raise ValueError("feature and logit are both 0: nothing is distilled")
        if self.reduction == "sum" and "feature" not in self.model_fields_set:
            raise ValueError("reduction 'sum' needs its own feature weight; published are 7e-5 and 2e-3")
        return self


class S2wOptions(Options):
    """Options of ``s2w``.

    Attributes:
        direction: who guides: the strong (most confident) step the weak one, the weak the strong, or both.
        ce: weight of the cross entropy with the labels.
        alpha: weight of the guidance.
        tau: temperature of the softmax of both steps.
        tau_squared: multiply the guidance by ``tau`` squared.
    """

    direction: Literal["s2w", "w2s", "both"] = "s2w"
    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    tau: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    tau_squared: bool = False


class TwdOptions(Options):
    """Options of ``twd``.

    Attributes:
        ce: weight of the labels on every step.
        alpha: weight of the teacher; 0 needs none.
        beta: weight of the mean of the steps that are right.
        tau: temperature of the softmax.
    """

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    beta: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    tau: float = Field(default=3.0, gt=0, allow_inf_nan=False)


class SealOptions(Options):
    """Options of ``seal``.

    Attributes:
        ce: weight of the cross entropy with the labels.
        alpha: weight of the teacher.
        beta: weight of the steps on each other.
        tau: temperature of the softmax.
    """

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.6, ge=0, allow_inf_nan=False)
    beta: float = Field(default=0.15, ge=0, allow_inf_nan=False)
    tau: float = Field(default=3.0, gt=0, allow_inf_nan=False)
