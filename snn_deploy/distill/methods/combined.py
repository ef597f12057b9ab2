"""The methods of a recipe as one: their weighted sum, each of them over every prefix where it is asked to."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.every_t import EveryT
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, Terms
from snn_deploy.recipes.recipe import MethodSpec


class WeightedSum(Method):
    """``Σ_i weight_i loss_i``. Terms are called ``method.term``, at a second use ``method#2.term``."""

    def __init__(self, setting: Setting, parts: Sequence[tuple[str, float, Method]]) -> None:
        super().__init__(setting)
        names: list[str] = []
        for name, _, _ in parts:
            uses = sum(used.partition("#")[0] == name for used in names)
            names.append(name if not uses else f"{name}#{uses + 1}")
        self._names = names
        self._weights = [weight for _, weight, _ in parts]
        self.parts = nn.ModuleList(method for _, _, method in parts)
        methods = [method for _, _, method in parts]
        self.student_taps = tuple(dict.fromkeys(tap for m in methods for tap in m.student_taps))
        self.teacher_taps = tuple(dict.fromkeys(tap for m in methods for tap in m.teacher_taps))
        self.teacher_gradients = any(m.teacher_gradients for m in methods)
        self.whole_batch = any(m.whole_batch for m in methods)
        self.passes = tuple(sorted({steps for m in methods for steps in m.passes}))

    def losses(self, batch: DistillBatch) -> Terms:
        """The weighted terms of all parts."""
        terms: Terms = {}
        for name, weight, method in zip(self._names, self._weights, self.parts, strict=True):
            assert isinstance(method, Method)
            for term, value in method.losses(batch).items():
                terms[f"{name}.{term}"] = weight * value
        return terms


def build_method(specs: Sequence[MethodSpec], setting: Setting) -> WeightedSum:
    """The weighted sum of a recipe's methods.

    Raises:
        ConfigError: a method cannot be built (no teacher, an unfit tap, ...), or two bring a cross entropy.
    """
    parts = []
    for spec in specs:
        method: Method = METHODS.get(spec.name).factory(spec.resolve(METHODS), setting)
        if spec.every_t:
            method = EveryT(spec.name, method, setting)
        parts.append((spec.name, spec.weight, method))
    _refuse_second_cross_entropy(parts)
    return WeightedSum(setting, parts)


def _refuse_second_cross_entropy(parts: Sequence[tuple[str, float, Method]]) -> None:
    bringing = [(number, name) for number, (name, _, method) in enumerate(parts) if method.label_loss]
    if len(bringing) > 1:
        raise ConfigError(
            f"{len(bringing)} methods of the recipe bring a cross entropy with the labels; one may.",
            hint="Set 'ce: 0' in all but one of them.",
            problems=[Problem(f"method.{number}", f"'{name}' brings one") for number, name in bringing],
        )
