"""Recipes: typed, frozen descriptions of one distillation run.

A recipe is plain YAML (no tags, no anchors, no code). Every fault in it is found before anything runs
and all of them are reported together. Values are overridden by dotted paths: ``train.epochs=2``.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from snn_deploy.core.assets import find_asset
from snn_deploy.core.documents import parse_yaml, validation_problems
from snn_deploy.core.errors import ConfigError, Problem, SnnDeployError
from snn_deploy.core.registry import DATASETS, METHODS, STUDENTS, TEACHERS, Options, Registry
from snn_deploy.recipes.kept_files import settle_files
from snn_deploy.recipes.own_parts import Trust, faults, settle
from snn_deploy.recipes.search_space import Axes


class Frozen(BaseModel):
    """Immutable model that refuses unknown keys and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Component(BaseModel):
    """Something chosen by ``name`` from a registry, with that entry's own options beside the name."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=(), allow_inf_nan=False)

    name: str

    def resolve(self, registry: Registry[Any]) -> Options:
        """The typed options of this component, validated by its registry entry."""
        return registry.options(self.name).model_validate(self.model_extra or {})


class MixSpec(Frozen):
    """Mix pairs of training samples and their labels, by either way that is given (each batch draws one).

    Attributes:
        mixup, cutmix: alpha of the Beta distribution that shares are drawn from; 0 for none.
        probability: with which a batch is mixed.
        epochs: only in so many epochs from the beginning; by default in all.
    """

    mixup: float = Field(default=0.0, ge=0, le=100)
    cutmix: float = Field(default=0.0, ge=0, le=100)
    probability: float = Field(default=1.0, gt=0, le=1)
    epochs: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.mixup == self.cutmix == 0:
            raise ValueError("mixup and cutmix are both 0: nothing is mixed")
        return self


class TrainSpec(Frozen):
    """How a network is trained. Learning rate follows a cosine from ``lr`` to 0 after a linear warm-up.

    ``batch_size`` is that of a step of the optimiser, whatever the number of processes; each process takes
    its share of it in ``accumulate`` parts. The weights kept are those of the epoch that is ``best`` on the
    validation split, of equals the earliest, or those of the ``last``: for data whose validation split says
    little of the test. What changes speed and memory, and numbers at most in their last digits:

    ========================  =====================================================================
    ``amp``                   bfloat16 (``auto``: on CUDA devices that have it; ``on``: on a CPU too)
    ``channels_last``         channels last in memory (``auto``: with bfloat16)
    ``recompute``             activations of a student's blocks are computed twice and not kept
    ``teacher_logits``        asked ``once`` per sample, ``always``, or once where possible (``auto``)
    ``resident``              training data on the CUDA device (``auto``: where they fit)
    ``deterministic``         CUDA algorithms that repeat to the bit
    ``sync_batch_norm``       batch norm sees the samples of all processes
    ========================  =====================================================================
    """

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(default=64, ge=1)
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    decay_norm_and_bias: bool = False
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mix: MixSpec | None = None
    grad_clip: float | None = Field(default=None, gt=0)
    keep: Literal["best", "last"] = "best"
    amp: Literal["auto", "on", "off"] = "auto"
    accumulate: int = Field(default=1, ge=1)
    sync_batch_norm: bool = False
    channels_last: Literal["auto", "on", "off"] = "auto"
    recompute: bool = False
    teacher_logits: Literal["auto", "once", "always"] = "auto"
    resident: Literal["auto", "off"] = "auto"
    deterministic: bool = False
    checkpoint_seconds: float = Field(default=30.0, ge=0)


class TeacherSpec(Component):
    """A teacher: taken from ``checkpoint`` (safetensors) when given, else trained in place by ``train``."""

    checkpoint: Path | None = None
    train: TrainSpec | None = None


class MethodSpec(Component):
    """A distillation method and the ``weight`` of its loss in the sum.

    With ``every_t`` its loss is the mean of its losses, had the student been stopped after each step
    (:mod:`snn_deploy.distill.methods.every_t`).
    """

    weight: float = Field(default=1.0, gt=0)
    every_t: bool = False

    @property
    def title(self) -> str:
        """Its name in reports."""
        return f"{self.name} at every T" if self.every_t else self.name


class TargetSpec(Frozen):
    """The chip under whose rules the student is trained further, after its training in real numbers.

    ``bits`` are those of its weights. The stage has ``epochs`` of its own (default: a quarter of those of
    ``train``) and its own ``lr`` (default: a fifth of that of ``train``; both our choice); the rest is as in
    ``train``, without warm-up and mixed samples. With ``checkpoint`` (safetensors of a student trained in
    real numbers) the first training is left out.
    """

    name: Literal["loihi2"] = "loihi2"
    bits: int = Field(default=8, ge=2, le=8)
    epochs: int | None = Field(default=None, ge=1, le=10_000)
    lr: float | None = Field(default=None, gt=0)
    checkpoint: Path | None = None

    def stage(self, train: TrainSpec) -> TrainSpec:
        """How the stage that follows ``train`` is trained."""
        return train.model_copy(
            update={
                "epochs": self.epochs or -(-train.epochs // 4),
                "lr": self.lr or train.lr / 5,
                "warmup_epochs": 0.0,
                "mix": None,
            }
        )


class InitSpec(Frozen):
    """Trained ``weights`` (safetensors, of that ``sha256``) that the student begins with."""

    weights: Path
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")


class Published(Frozen):
    """The published figure that a recipe reproduces, with its source and evidence grade."""

    accuracy: float | None = None
    source: str
    grade: str
    note: str = ""


class Measured(Frozen):
    """What this package reached with a recipe: accuracy in percent and the day; ``note`` says on what."""

    accuracy: float
    date: datetime.date
    note: str = ""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _as_named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_WORDS = frozenset({"description", "published", "measured", "sweep"})
"""What a recipe says without changing the result."""


_ADDED: Mapping[str, Any] = {"init": None, "every_t": False}
"""Keys of recipes and methods that came when runs and bundles were about, and what they are by default: then
the digest is that of a recipe without them."""


class Recipe(Frozen):
    """One run. ``timesteps`` is T: the number of frames of event data, or of repetitions of an image.
    ``sweep`` says what a search may vary (:mod:`snn_deploy.recipes.search_space`)."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)
    description: str = ""
    timesteps: int = Field(ge=1, le=4096)
    seed: int = Field(default=0, ge=0, lt=2**31)
    data: Component
    teacher: TeacherSpec | None = None
    student: Component
    method: Annotated[tuple[MethodSpec, ...], BeforeValidator(_as_list), Field(min_length=1)]
    train: TrainSpec
    init: InitSpec | None = None
    target: Annotated[TargetSpec | None, BeforeValidator(_as_named)] = None
    published: Published | None = None
    measured: Measured | None = None
    sweep: Axes | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values, defaults included."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of everything that changes the result."""
        content = {k: v for k, v in _settled(self.to_dict()).items() if k not in _WORDS}
        content["method"] = [_settled(method) for method in content["method"]]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _settled(content: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was added later and is not made use of."""
    return {key: value for key, value in content.items() if key not in _ADDED or value != _ADDED[key]}


def load_recipe(name_or_path: str, overrides: Sequence[str] = (), *, trust: Trust = False) -> Recipe:
    """Read a shipped recipe by name, or a YAML file by path, apply ``overrides``, check everything.

    ``trust``: the code that it names may be run (:mod:`snn_deploy.recipes.own_parts`).

    Raises:
        ConfigError: with one :class:`Problem` per fault, all of them at once.
    """
    path = find_asset("distill", name_or_path, "recipe")
    return parse_recipe(
        path.read_bytes(), overrides, origin=str(name_or_path), folder=path.parent, trust=trust
    )


def parse_recipe(
    given: bytes | str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    origin: str = "recipe",
    folder: Path = Path(),
    trust: Trust = False,
    kept: Path | None = None,
) -> Recipe:
    """The recipe of a text, or of plain values, which stay as they are; code that it names lies in
    ``folder``, and copies of it in ``kept``. See :func:`load_recipe`."""
    content = parse_yaml(given, origin, "recipe") if isinstance(given, bytes | str) else deepcopy(given)
    if not isinstance(content, dict):
        raise ConfigError(f"{origin}: a recipe is a mapping, this is a {type(content).__name__}.")
    problems = [p for o in overrides if (p := apply_override(content, o)) is not None]
    unsettled = [*settle(content, folder, trust=trust, kept=kept), *settle_files(content, folder, kept)]
    problems += unsettled or _component_problems(content)
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        problems = list(validation_problems(error, Recipe)) + problems
    if problems:
        raise ConfigError(
            f"{origin}: {len(problems)} fault{'s' if len(problems) > 1 else ''} in the recipe.",
            problems=problems,
        )
    return recipe


def require_own_code(recipe: Recipe) -> None:
    """Run the Python files that ``recipe`` names, and hold its arguments against their signatures.

    Raises:
        ConfigError: files that fail, names or arguments that are not there; all of them at once.
    """
    if problems := list(faults(recipe.to_dict())):
        raise ConfigError(f"The code that the recipe '{recipe.name}' names does not fit.", problems=problems)


def apply_override(content: dict[str, Any], override: str) -> Problem | None:
    """Set ``a.b.c=value`` in ``content``; list items are addressed by number."""
    path, equals, raw = override.partition("=")
    if not equals or not path:
        return Problem(override, "not of the form key=value", try_instead="train.epochs=2")
    try:
        value = parse_yaml(raw, path, "value")
    except ConfigError as error:
        return Problem(path, f"'{raw}' is not a YAML value ({error.message})")
    keys = path.split(".")
    here: Any = content
    for key in keys[:-1]:
        if isinstance(here, list) and key.isdigit() and int(key) < len(here):
            here = here[int(key)]
        elif isinstance(here, dict):
            if not isinstance(here.get(key), dict | list):
                here[key] = {}
            here = here[key]
        else:
            return Problem(path, f"there is nothing at '{key}'")
    if isinstance(here, list) and keys[-1].isdigit() and int(keys[-1]) < len(here):
        here[int(keys[-1])] = value
    elif isinstance(here, dict):
        here[keys[-1]] = value
    else:
        return Problem(path, f"there is nothing at '{keys[-1]}'")
    return None


_COMPONENTS: tuple[tuple[str, Registry[Any], frozenset[str]], ...] = (
    ("data", DATASETS, frozenset({"name"})),
    ("teacher", TEACHERS, frozenset({"name", "checkpoint", "train"})),
    ("student", STUDENTS, frozenset({"name"})),
    ("method", METHODS, frozenset({"name", "weight", "every_t"})),
)


def _component_problems(content: dict[str, Any]) -> list[Problem]:
    """Unknown component names and faults in the options of known ones."""
    problems: list[Problem] = []
    for section, registry, own in _COMPONENTS:
        given = content.get(section)
        items = given if isinstance(given, list) else [given]
        for position, item in enumerate(items):
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                continue
            where = f"{section}.{position}" if isinstance(given, list) else section
            try:
                options = registry.options(item["name"])
            except SnnDeployError as error:
                problems.append(Problem(f"{where}.name", error.message, try_instead=error.hint or ""))
                continue
            try:
                options.model_validate({k: v for k, v in item.items() if k not in own})
            except ValidationError as error:
                problems += validation_problems(error, options, prefix=where)
    return problems
