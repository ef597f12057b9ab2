"""What a pass is, and how passes are run: checked around, with a journal.

A pass is a frozen dataclass. Its fields are its options; ``apply`` turns one form of a network into another.
Around it two things are checked: ``requires``, what the network must be for the pass to say it, and
``ensures``, what the pass promises to keep. A network that does not meet the first is refused; a pass that
breaks the second is a bug of ours, and nothing is written.

::

    done = Stage.of(graph).then(Pooling("sum")).then(Encoding())
    done.subject, done.journal

Every node after a pass must come from nodes before it, and no node may be lost on the way: a node of the same
name comes from it, of every other one ``Made.origins`` says it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import singledispatch
from typing import Any, ClassVar, Generic, TypeVar, cast

import nir
import numpy as np

from snn_deploy.core.errors import Problem, SnnDeployError, UnsupportedError
from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.graph.passes.journal import Entry, Names, read_journal
from snn_deploy.graph.shapes import ShapeError

A = TypeVar("A")
B = TypeVar("B")


class BrokenPassError(SnnDeployError):
    """A pass does not keep what it promises to keep (exit 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Made(Generic[B]):
    """What a pass made.

    Attributes:
        subject: the network; the very one that the pass was given when there was nothing to do.
        origins: of nodes that are new or that others were merged into, the nodes before; a node that is not
            listed comes from the one of its name.
        facts: what the manifest is to say besides, JSON-ready.
    """

    subject: B
    origins: Mapping[str, Names] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Change(Generic[A, B]):
    """A network ``before`` and ``after`` a pass; per node after, its ``origins`` before."""

    before: A
    after: B
    origins: Mapping[str, Names]


class Pass(ABC, Generic[A, B]):
    """One step from a form A of a network to a form B. Subclasses are frozen dataclasses.

    ``refusal`` is said above the problems of ``requires``.
    """

    name: ClassVar[str]
    refusal: ClassVar[str] = "The network cannot be written so."

    @property
    def title(self) -> str:
        """What the journal calls it; its name, unless its options belong to it."""
        return self.name

    def requires(self, before: A) -> Iterable[Problem]:
        """Why ``before`` cannot pass: everything at once."""
        return ()

    @abstractmethod
    def apply(self, before: A) -> Made[B]:
        """The network after the pass; ``before`` stays as it is.

        Raises:
            UnsupportedError: something cannot be said in the new form.
        """

    def ensures(self, change: Change[A, B]) -> Iterable[Problem]:
        """What of the promises is broken; nothing, unless the pass has a fault."""
        return ()

    def __call__(self, subject: A) -> B:
        """``subject`` after this one pass, checked around."""
        return Stage.of(subject).then(self).subject

    def options(self) -> dict[str, Any]:
        """The fields, without those marked ``journal=False`` in their metadata (calibration samples)."""
        kept = [f.name for f in fields(cast(Any, self)) if f.metadata.get("journal", True)]
        return {name: getattr(self, name) for name in kept}


@singledispatch
def parts(subject: object) -> Mapping[str, object]:
    """The named parts of a network, such as the nodes of a graph."""
    raise TypeError(f"'{type(subject).__name__}' is no form of a network")


@parts.register
def _(subject: nir.NIRGraph) -> Mapping[str, object]:
    return cast(Mapping[str, object], subject.nodes)


@parts.register
def _(net: LavaNet) -> Mapping[str, object]:
    return {net.input_name: net.input_shape, **dict(zip(net.names, net.populations, strict=True))}


@dataclass(frozen=True, slots=True, eq=False)
class Stage(Generic[A]):
    """A network on its way through passes.

    Attributes:
        subject: the network as it is now.
        journal: what was done so far.
        authors: per part of ``subject``, what it comes from, in the author's names.
    """

    subject: A
    journal: tuple[Entry, ...]
    authors: Mapping[str, Names]

    @classmethod
    def of(cls, subject: A) -> Stage[A]:
        """The start: the names that ``subject`` has now are the author's, unless it carries a journal."""
        journal = read_journal(subject) if isinstance(subject, nir.NIRGraph) else ()
        made = {name: authors for entry in journal for name, authors in entry.made.items()}
        return cls(subject, journal, {name: made.get(name, (name,)) for name in parts(subject)})

    def then(self, step: Pass[A, B]) -> Stage[B]:
        """The network after ``step``.

        Raises:
            UnsupportedError: it cannot pass; problems name nodes as their author called them.
            BrokenPassError: the pass breaks a promise.
        """
        try:
            if problems := list(step.requires(self.subject)):
                raise UnsupportedError(step.refusal, problems=problems)
            made = step.apply(self.subject)
        except UnsupportedError as error:
            named = [self.named(problem) for problem in error.problems]
            raise UnsupportedError(error.message, hint=error.hint, problems=named) from None
        if made.subject is self.subject:
            return cast("Stage[B]", self)
        old, new = parts(self.subject), parts(made.subject)
        origins = {name: made.origins.get(name, (name,)) for name in new}
        faults = list(_untraced(old, new, origins))
        try:
            faults += [] if faults else step.ensures(Change(self.subject, made.subject, origins))
        except ShapeError as error:
            faults.append(Problem("network", str(error), "shapes fit"))
        if faults:
            hint = "This is a fault of snn-deploy, not of your network; please report it."
            raise BrokenPassError(f"The pass '{step.title}' broke the network.", problems=faults, hint=hint)
        authors = {
            name: tuple(dict.fromkeys(author for origin in origins[name] for author in self.authors[origin]))
            for name in new
        }
        changed = {
            name: authors[name]
            for name, node in new.items()
            if origins[name] != (name,) or not same(old[name], node)
        }
        entry = Entry(step.title, step.options(), made.facts, changed)
        return Stage(made.subject, (*self.journal, entry), authors)

    def through(self, *steps: Pass[A, A]) -> Stage[A]:
        """The network after all of ``steps``."""
        stage = self
        for step in steps:
            stage = stage.then(step)
        return stage

    def noted(self, name: str, **facts: Any) -> Stage[A]:
        """With an entry for what comes after the last pass: a conversion to a file's own form."""
        return replace(self, journal=(*self.journal, Entry(name, facts=facts)))

    @property
    def passes(self) -> tuple[dict[str, Any], ...]:
        """The journal as the manifest has it."""
        return tuple(entry.to_dict() for entry in self.journal)

    def named(self, problem: Problem) -> Problem:
        """``problem`` of a part of the subject, by the names of the author's nodes that it comes from."""
        names = self.authors.get(problem.where, (problem.where,))
        return problem if problem.where in names else replace(problem, where=", ".join(names))


def _untraced(
    old: Mapping[str, object], new: Mapping[str, object], origins: Mapping[str, Names]
) -> Iterator[Problem]:
    for name in new:
        if not origins[name] or (unknown := [origin for origin in origins[name] if origin not in old]):
            what = "comes from nothing" if not origins[name] else f"comes from '{', '.join(unknown)}'"
            yield Problem(name, what, "a node after a pass comes from nodes before it")
    for name in sorted(old.keys() - {origin for found in origins.values() for origin in found}):
        yield Problem(name, "is lost", "every node before a pass lives on in a node after it")


def same(a: object, b: object) -> bool:
    """Whether two nodes are of one kind and hold the same values in the same precision."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if not isinstance(a, nir.NIRNode):
        return a == b
    mine, other = vars(a), vars(b)
    return mine.keys() == other.keys() and all(_equal(mine[key], other[key]) for key in mine)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
