from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.core.assets import asset_names
from snn_deploy.core.errors import ConfigError
from snn_deploy.recipes.recipe import load_recipe, parse_recipe

GOOD = """
name: good
timesteps: 4
data: {name: digits-dvs}
teacher: {name: cnn, blocks: [{channels: 4}], train: {epochs: 1}}
student: {name: spiking-cnn, blocks: [{channels: 4}]}
method: {name: tser, alpha: 0.25}
train: {epochs: 2}
"""


def problems_of(text: str, *overrides: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as failure:
        parse_recipe(text, overrides)
    assert failure.value.exit_code == 2
    return {problem.where: problem.what for problem in failure.value.problems}


@pytest.mark.parametrize("name", asset_names("distill"))
def test_every_shipped_recipe_loads_under_its_own_name(name: str) -> None:
    assert load_recipe(name).name == name


def test_a_recipe_survives_being_written_and_read() -> None:
    import yaml

    recipe = parse_recipe(GOOD)
    again = parse_recipe(yaml.safe_dump(recipe.to_dict()))
    assert again == recipe
    assert again.digest() == recipe.digest()
    assert parse_recipe(GOOD, ["train.lr=0.5"]).digest() != recipe.digest()
    measured = "measured={accuracy: 91.5, date: 2026-01-31}"
    assert parse_recipe(GOOD, ["description=other words", measured]).digest() == recipe.digest()


def test_all_faults_are_reported_at_once() -> None:
    found = problems_of(
        GOOD.replace("epochs: 2", "epochs: 0, lerning_rate: 1")
        .replace("alpha: 0.25", "alhpa: 0.25")
        .replace("spiking-cnn", "spikin-cnn")
        + "surprise: 1\n"
    )
    assert set(found) == {"train.epochs", "train.lerning_rate", "method.alhpa", "student.name", "surprise"}
    assert "Did you mean 'alpha'" in found["method.alhpa"]
    assert "Did you mean 'spiking-cnn'" in found["student.name"]
    assert "given: 0" in found["train.epochs"]


def test_overrides_reach_nested_values_and_list_items() -> None:
    both = GOOD.replace("{name: tser, alpha: 0.25}", "[{name: tser}, {name: kd}]")
    recipe = parse_recipe(
        both, ["train.epochs=7", "method.1.weight=0.5", "teacher=null", "student.blocks.0.channels=8"]
    )
    assert recipe.train.epochs == 7
    assert recipe.method[1].weight == 0.5
    assert recipe.teacher is None


@pytest.mark.parametrize(
    ("override", "where"),
    [("train.epochs", "train.epochs"), ("method.9.weight=1", "method.9.weight"), ("name.first=1", "name")],
)
def test_bad_overrides_are_named(override: str, where: str) -> None:
    both = GOOD.replace("{name: tser, alpha: 0.25}", "[{name: tser}, {name: kd}]")
    assert any(key.startswith(where) for key in problems_of(both, override))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "aliases are not allowed"),
        ("name: a\nname: b\n", "key given twice: name"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("- 1\n", "a recipe is a mapping"),
        ("a: [", "not valid YAML"),
        ("x: " + "[" * 5000, "not valid YAML"),
        ("#" * (1 << 21), "at most"),
    ],
)
def test_hostile_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_recipe(text)


def test_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'quickstart'"):
        load_recipe("quikstart")
    with pytest.raises(ConfigError, match="no recipe file"):
        load_recipe("nowhere/file.yaml")


@given(st.binary(max_size=300))
def test_any_bytes_give_a_config_error(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_recipe(data)
