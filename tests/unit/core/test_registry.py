from __future__ import annotations

from functools import partial

import pytest

from snn_deploy.core.components import Component
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import (
    BACKENDS,
    DATASETS,
    FORMATS,
    METHODS,
    STUDENTS,
    TEACHERS,
    Options,
    Registry,
)


def test_register_and_get() -> None:
    colours: Registry[object] = Registry("colour", {}, "test.colours")

    class RedOptions(Options):
        shade: int = 1

    @colours.register("red", options=RedOptions)
    def red() -> None:
        """A warm colour.

        More text.
        """

    entry = colours.get("red")
    assert (entry.factory, entry.options, entry.summary) == (red, RedOptions, "A warm colour.")
    with pytest.raises(ConfigError, match="registered twice"):
        colours.register("red")(lambda: None)


def test_unknown_names_get_a_suggestion_and_the_list() -> None:
    with pytest.raises(ConfigError, match=r"Unknown method 'tsre'\. Did you mean 'tser'") as failure:
        METHODS.get("tsre")
    assert failure.value.exit_code == 2
    assert "kd" in str(failure.value.hint)


def test_a_built_in_that_does_not_register_itself_is_named() -> None:
    broken: Registry[object] = Registry(
        "thing", {"ghost": Component("core.errors", "A thing that is not there.")}, "test.things"
    )
    with pytest.raises(ConfigError, match="Unknown thing 'ghost'"):
        broken.get("ghost")


@pytest.mark.parametrize(
    "registry", [METHODS, STUDENTS, TEACHERS, DATASETS, FORMATS, BACKENDS], ids=lambda r: r.kind
)
def test_every_built_in_loads_and_says_what_it_is(registry: Registry[object]) -> None:
    for name in registry.names():
        entry = registry.get(name)
        assert entry.name == name
        assert 10 <= len(entry.summary) <= 120, f"{name}: {entry.summary!r}"
        assert (entry.summary, entry.options) == (registry.summary(name), registry.options(name))


@pytest.mark.parametrize("registry", [METHODS, STUDENTS, TEACHERS, DATASETS, BACKENDS], ids=lambda r: r.kind)
def test_the_summary_in_the_table_is_the_first_line_of_the_docstring(registry: Registry[object]) -> None:
    for name in registry._shipped:  # not what other tests have registered
        factory = registry.get(name).factory
        if not isinstance(factory, partial):  # one factory under several names
            assert registry.summary(name) == str(factory.__doc__).partition("\n")[0]
