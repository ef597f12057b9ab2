"""Run a sweep: give trials to workers until enough of them are done, and write the report."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from snn_deploy.core.errors import ConfigError, InterruptedRunError
from snn_deploy.processes.world import choose_device, cores_each
from snn_deploy.recipes.own_parts import Trust
from snn_deploy.sweep.plan import Plan, keep_plan, make_plan
from snn_deploy.sweep.report import write_report
from snn_deploy.sweep.study import Done, Study, pareto
from snn_deploy.sweep.workers import Workers

TICK = 1.0
"""Seconds between two looks at what other machines do."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What came out.

    Attributes:
        folder: where everything lies.
        trials: those that came to an end, failed ones included.
        front: those that no other one beats, the least expensive first.
        lost: how many were lost with their process and done again.
        files: the report, by kind.
    """

    folder: Path
    trials: tuple[Done, ...]
    front: tuple[Done, ...]
    lost: int
    files: dict[str, Path]


Report = Callable[[Done, int], None]
"""Told of every trial that is done here, and how many are done anywhere."""


def run_sweep(
    recipe: str,
    folder: Path | str,
    *,
    trials: int,
    workers: int = 1,
    space: Path | None = None,
    overrides: Sequence[str] = (),
    storage: str | None = None,
    profile: str = "loihi1-davies",
    samples: int = 64,
    seed: int = 0,
    device: str = "auto",
    trust: Trust = False,
    report: Report = lambda trial, done: None,
) -> Sweep:
    """Search for recipes that are accurate on the validation split and need little energy.

    The same call goes on with a sweep that was stopped; a larger number of ``trials`` extends one.

    Args:
        recipe: name or file of what is varied.
        folder: of the sweep; runs, plan and report are kept there.
        trials: how many are to be done, over all machines.
        workers: processes on this machine.
        space: YAML file of the search space; None for the recipe's own.
        overrides: changes to the recipe.
        storage: Optuna URL, or a file; None for a journal in ``folder``.
        profile: hardware profile that prices the energy.
        samples: validation samples on which activity is counted.
        seed: of the sampler.
        device: ``auto``, ``cpu``, ``cuda``; CUDA devices are dealt out to the workers.
        trust: the Python files that the recipe names may be run.
        report: told of every trial that is done.

    Raises:
        ConfigError: faults in recipe, space or options; another process works in ``folder``.
        DataError: the storage or the plan in ``folder`` cannot be used.
        InterruptedRunError: stopped; the same call goes on.
    """
    home = Path(folder)
    wanted = make_plan(recipe, overrides, space, profile=profile, samples=samples, seed=seed, trust=trust)
    devices = _devices(device, workers)
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        plan = keep_plan(home, wanted)
        study = Study(plan, storage or str(home / "journal.log"))
        study.requeue_lost()
        crew = Workers(home, workers, cores_each(workers))
        try:
            _work(plan, study, crew, home, trials, devices, report)
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"Stopped after {len(study.done())} of {trials} trials.",
                hint="The same command goes on; trials that were running continue where they stopped.",
            ) from None
        finally:
            crew.stop()
        done = study.done()
        if done and not any(trial.accuracy is not None for trial in done):
            raise ConfigError(f"All {len(done)} trials failed; the first: {done[0].error}")
        front = pareto(done)
        files = write_report(home, plan, done, front, study.lost())
        return Sweep(home, tuple(done), tuple(front), study.lost(), files)


def _work(
    plan: Plan, study: Study, crew: Workers, home: Path, trials: int, devices: Sequence[str], report: Report
) -> None:
    running: dict[int, int] = {}
    seeds: dict[int, int] = {}
    while True:
        study.beat()
        done = len(study.done())
        if done >= trials and not running:
            return
        open_trials = study.open_trials()
        for worker in crew.idle():
            if done + open_trials >= trials:
                break
            open_trials += 1
            number, values, folder = study.ask()
            try:
                recipe = plan.trial_recipe(values)
            except ConfigError as error:
                study.tell_error(number, str(error))
                continue
            running[worker], seeds[number] = number, recipe.seed
            job = {"recipe": recipe.to_dict(), "folder": str(home / folder), "device": devices[worker]}
            crew.give(worker, {**job, "profile": plan.profile, "samples": plan.samples})
        for worker, answer in crew.answers(TICK):
            number = running.pop(worker)
            if answer is None or answer.get("interrupted"):
                study.lose(number)
            elif "error" in answer:
                study.tell_error(number, answer["error"])
            else:
                study.tell(number, answer["figures"], seeds[number])
            ended = study.done()
            for trial in ended:
                if trial.number == number:
                    report(trial, len(ended))


def _devices(device: str, workers: int) -> list[str]:
    """A device for each worker."""
    chosen = choose_device(device)
    if str(chosen) == "cuda":
        import torch

        return [f"cuda:{number % torch.cuda.device_count()}" for number in range(workers)]
    return [str(chosen)] * workers


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time work in ``folder``."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"Another process works in '{folder}'.",
                hint="Wait for it, or choose another --dir; --storage lets several share the trials.",
            ) from None
        yield
