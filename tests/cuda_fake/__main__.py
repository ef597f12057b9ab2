"""Training steps and evaluations on fake CUDA tensors: mismatches of devices, waits, launches, bytes.

    make test-cuda-fake                     (or: LD_PRELOAD=STUB python -m cuda_fake STUB [ROW ...])

A row takes one training step and one evaluation of a recipe. Of a row without a fault no operation has
tensors of both host and device, nothing is copied over the bus and no number is read in the step (but for the
order of mixed samples); an evaluation reads its figures once, not batch by batch. ``launches`` are operations
that launch a kernel, up to the gradients; ``GB`` is what these read and write. Counts are no times.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

from cuda_fake.device import FAKE, pretend, require_stub


class Budget(NamedTuple):
    """Most that a step may take, and on how many samples."""

    launches: int
    gigabytes: float
    batch: int


BUDGETS = {
    "quickstart": Budget(180, 0.15, 64),
    "short-cifar10-resnet18-tser": Budget(450, 17.0, 128),
    "samd-nld-cifar10-resnet19-t4": Budget(1100, 42.0, 128),
}


def measured(name: str, overrides: tuple[str, ...], batch: int) -> tuple[str, list[str]]:
    """A row of the table, and its faults."""
    from cuda_fake.steps import Step
    from snn_deploy.recipes.recipe import load_recipe

    with FAKE:
        step = Step(load_recipe(name, overrides), batch)
        gradients, update = step.train()
        check, evaluation = step.check(), step.evaluate()
    launches, gigabytes = sum(gradients.launches.values()), gradients.bytes / 1e9
    faults = [
        f"{what} {kind} at {place}"
        for what, watch in (("step", gradients), ("update", update), ("check", check), ("test", evaluation))
        for kind, found in (("mixes devices", watch.mixed), ("reads", watch.reads))
        for place in found
    ]
    mixed = step.recipe.train.mix is not None
    faults += [f"step copies at {place}" for place in (*gradients.copies, *update.copies) if not mixed]
    if sum(check.copies.values()) > 1:
        faults.append(f"the check asks the device {sum(check.copies.values())} times")
    if sum(evaluation.copies.values()) > ONCE:
        faults.append(f"an evaluation asks the device {sum(evaluation.copies.values())} times")
    if not overrides and name in BUDGETS:
        budget = BUDGETS[name]
        if launches > budget.launches or gigabytes > budget.gigabytes:
            faults.append(f"budget: {budget.launches} launches, {budget.gigabytes} GB")
    cells = f"{launches:8d} {gigabytes:7.2f} {sum(evaluation.launches.values()):8d}"
    return cells, faults


ONCE = 4
"""Copies that an evaluation may make, however many batches it has: hits, spikes twice (rates, rate), SOPs."""


def main() -> int:
    """Print the table; 1 with a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stub", type=Path)
    parser.add_argument("rows", nargs="*", help="only rows whose name has one of these in it")
    options = parser.parse_args()
    require_stub(options.stub)
    pretend()
    from cuda_fake.rows import rows

    print(f"{'row':68s} {'launches':>8s} {'GB':>7s} {'test':>8s}")
    failed = total = 0
    for title, name, overrides in rows(BUDGETS):
        if options.rows and not any(part in title for part in options.rows):
            continue
        total += 1
        try:
            cells, faults = measured(name, overrides, BUDGETS[name].batch if not overrides else 8)
        except Exception as error:  # noqa: BLE001 - a row that fails is a row of the table
            traceback.print_exc()
            cells, faults = "", [f"{type(error).__name__}: {str(error)[:200]}"]
        print(f"{title:68s} {cells}", *(f"\n    {fault}" for fault in faults), flush=True)
        failed += bool(faults)
    print(f"{total} rows, {failed} with faults. Counted on fake tensors, not run on a GPU.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
