"""How much of TSER's gradient its entropy term has, at several moments of a training.

    python benchmarks/gradient_shares.py

The student of the setting ``digits`` of ``methods.py`` is trained with TSER at its defaults on what the
students get there. At each moment the gradient of every term with respect to all weights is taken on the
whole of it, with ``lam`` 1; that of the entropy is in proportion to ``lam``, so one measurement gives the
whole grid. A share is the norm of the entropy's gradient over that of the other two terms' sum.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch
from methods import Bench
from methods_settings import SETTINGS
from spikingjelly.activation_based import functional
from torch import nn

from snn_deploy.distill.methods.options import TserOptions
from snn_deploy.distill.methods.tser import tser_terms
from snn_deploy.models.load import build_student
from snn_deploy.tasks.samples import load_data

MOMENTS = (0, 2, 5, 10, 20)
"""Epochs after which it is measured."""
LAMS = (0.01, 0.03, 0.1, 0.3, 1.0)


def gradient(value: torch.Tensor, weights: Sequence[nn.Parameter]) -> torch.Tensor:
    """All of ``d value / d weights`` in one vector."""
    parts = torch.autograd.grad(value, weights, retain_graph=True)
    return torch.cat([part.flatten() for part in parts])


def main() -> None:
    """Train, measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/defaults"), help="where the teacher lies")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    bench = Bench("digits", SETTINGS["digits"], given.runs, "cpu")
    bench.train_teacher(lambda event: None)
    recipe = bench.recipe({"name": "tser"}, 0)
    data = load_data(recipe)
    torch.manual_seed(0)
    student = build_student(recipe, data.shape, len(data.classes))
    teacher = bench.teacher(recipe, data)
    x, y = data.train.batch(torch.arange(len(data.train))), data.train.labels
    with torch.no_grad():
        u = teacher(x.mean(0))
    weights = list(student.parameters())
    steps = torch.optim.AdamW(weights, lr=5e-3, weight_decay=1e-2)
    lines = [
        "# Share of the entropy in TSER's gradient",
        "",
        f"{date.today()}, {data.name}, {len(y)} training samples, one seed; T = {recipe.timesteps}, "
        "alpha 0.5, tau 3. Norms of the gradients with respect to all weights; the entropy's with lam 1, of "
        "the softmax at tau 3 (in brackets at 1). Shares of the entropy at tau 3 by lam.",
        "",
        "| epochs | CE | KL | entropy | " + " | ".join(f"lam {lam}" for lam in LAMS) + " |",
        "| ---: |" + " ---: |" * (3 + len(LAMS)),
    ]
    for epoch in range(max(MOMENTS) + 1):
        if epoch in MOMENTS:
            lines.append(row(epoch, student, x, u, y, weights))
        for part in torch.randperm(len(y)).split(32):
            functional.reset_net(student)
            loss = sum(tser_terms(student(x[:, part]), u[part], y[part], TserOptions()).values())
            steps.zero_grad()
            loss.backward()  # type: ignore[union-attr]
            steps.step()
    text = "\n".join([*lines, ""])
    (given.results / f"{date.today()}-gradient-shares-tser.md").write_text(text)
    sys.stdout.write(text)


def row(
    epoch: int,
    student: nn.Module,
    x: torch.Tensor,
    u: torch.Tensor,
    y: torch.Tensor,
    weights: Sequence[nn.Parameter],
) -> str:
    """A line of the table."""
    functional.reset_net(student)
    z = student(x)
    terms = tser_terms(z, u, y, TserOptions(lam=1.0))
    hard = tser_terms(z, u, y, TserOptions(lam=1.0, entropy_temperature="one"))["entropy"]
    ce, kl, entropy = (gradient(terms[name], weights) for name in ("ce", "kl", "entropy"))
    share = float(entropy.norm() / (ce + kl).norm())
    cells = [
        str(epoch),
        f"{ce.norm():.3f}",
        f"{kl.norm():.3f}",
        f"{entropy.norm():.3f} ({gradient(hard, weights).norm():.3f})",
        *(f"{100 * lam * share:.2g} %" for lam in LAMS),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
