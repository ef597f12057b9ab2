"""The options of the methods: what a recipe may say of each.

Their equations stand in the modules of the methods. This one loads without torch, so that recipes are checked
at once; so do all modules of options.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from snn_deploy.core.registry import Options


class NoneOptions(Options):
    """Whether labels act on the mean over time of the logits, or on the logits of every step."""

    loss_on: Literal["mean", "steps"] = "mean"


class KdOptions(Options):
    """``alpha`` 0.5 and ``tau`` 3 are our choice."""

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.5, ge=0, le=1)
    tau: float = Field(default=3.0, gt=0, allow_inf_nan=False)


Temperature = Literal["one", "tau"]


class TserOptions(Options):
    """All defaults are our choice; see the module ``tser``."""

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.5, ge=0, le=1)
    lam: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    tau: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    tau_squared: bool = True
    ce_temperature: Temperature = "one"
    entropy_temperature: Temperature = "tau"


Distance = Literal["mse", "kl"]


class TssdOptions(Options):
    """See the module ``tssd``; ``detach: false`` lets gradients reach the teaching side ``a`` as well."""

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


MapNorm = Literal["none", "batch_minmax", "sample_minmax"]
_VARIANTS: dict[str, dict[str, Any]] = {
    "ours": {},
    "paper": {"norm": "none"},
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
    """How logits are smoothed; see the module ``samd_nld``. Defaults are those of ``ours``."""

    tau: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    tau_squared: bool = True
    noise: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    mixing: Literal["logits", "probabilities"] = "logits"
    noise_scale: Literal["std", "variance"] = "std"
    noise_gradient: bool = False


class SamdNldOptions(NoiseOptions):
    """Weights ``ce``, ``samd`` and ``nld``, taps, and what ``variant`` presets; see the module ``samd_nld``.

    ``teacher_head`` is the linear layer behind the teacher's tap, for ``cam: classifier``. ``resize: pool``
    averages maps of different sizes down to the smaller one (ours); ``refuse`` does not build.
    """

    variant: Literal["ours", "paper", "official-code"] = "ours"
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
        return {**_VARIANTS.get(str(given.get("variant")), {}), **given}

    @model_validator(mode="after")
    def _values_make_sense(self) -> Self:
        if self.samd == self.nld == 0:
            raise ValueError("samd and nld are both 0: nothing is distilled")
        if self.mixing == "probabilities" and self.noise > 1:
            raise ValueError(f"noise {self.noise} is the share of the noise in a mixture: at most 1")
        return self


class BkdOptions(Options):
    """Weights ``ce``, ``feature`` and ``logit``; taps; see the module ``bkd`` for the rest.

    ``resize: pool`` averages features of different sizes down to the smaller one (ours);
    ``refuse`` does not build.
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
    """``direction`` names who guides whom; see the module ``s2w``."""

    direction: Literal["s2w", "w2s", "both"] = "s2w"
    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    tau: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    tau_squared: bool = False


class TwdOptions(Options):
    """Weights ``ce``, ``alpha`` (teacher; 0 needs none), ``beta`` (right steps); see the module ``twd``."""

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    beta: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    tau: float = Field(default=3.0, gt=0, allow_inf_nan=False)


class SealOptions(Options):
    """Weights ``ce``, ``alpha`` (teacher) and ``beta`` (between steps); see the module ``seal``."""

    ce: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.6, ge=0, allow_inf_nan=False)
    beta: float = Field(default=0.15, ge=0, allow_inf_nan=False)
    tau: float = Field(default=3.0, gt=0, allow_inf_nan=False)
