"""One trial: train a student, count what it does on validation samples, price that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.sets.splits import spread
from snn_deploy.energy.price import price
from snn_deploy.export.verify import Samples
from snn_deploy.hardware.profile import load_profile
from snn_deploy.recipes.recipe import Recipe
from snn_deploy.tasks.distill import distill_student
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.report import count_source
from snn_deploy.tasks.samples import load_data


def run_trial(
    recipe: Recipe,
    folder: Path,
    *,
    profile: str,
    samples: int,
    device: str,
    report: Callable[[Any], None] = lambda event: None,
) -> dict[str, Any]:
    """Train (or go on, or only count, as the ``folder`` says) and return the figures of a trial.

    Accuracy and activity are those on the validation split; the test split decides nothing.

    Returns:
        ``accuracy`` (fraction), ``energy`` ``{low, mid, high}`` (joules of dynamic energy per inference),
        ``unknown`` (what the profile leaves out), ``sops`` per inference.

    Raises:
        ConfigError: the profile prices nothing that this network does.
        SnnDeployError: see :func:`~snn_deploy.tasks.distill.distill_student`.
    """
    run = distill_student(recipe, folder, resume=True, device=device, report=report)
    source = open_source(run.path)
    split = load_data(recipe).validation
    chosen = spread(len(split), samples)
    counted = Samples(split.batch(chosen), split.labels[chosen], source.semantics.decode)
    counts = count_source(source, counted)
    cost = price(counts, load_profile(profile))
    if cost.dynamic is None:
        raise ConfigError(f"The profile '{profile}' prices nothing that '{recipe.name}' does.")
    return {
        "accuracy": run.result()["student"]["validation_accuracy"],
        "energy": {"low": cost.dynamic.low, "mid": cost.dynamic.mid, "high": cost.dynamic.high},
        "unknown": list(cost.unknown),
        "sops": float(counts.sops().sum(0).mean()),
    }
