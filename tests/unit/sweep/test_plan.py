from __future__ import annotations

from pathlib import Path

import pytest

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.recipes.recipe import load_recipe
from snn_deploy.recipes.search_space import Range, parse_space
from snn_deploy.sweep.plan import Plan, keep_plan, make_plan


def plan(
    *overrides: str, space: Path | None = None, profile: str = "loihi1-davies", samples: int = 64
) -> Plan:
    return make_plan("short-digits-sweep", overrides, space, profile=profile, samples=samples, seed=0)


def test_a_space_names_paths_and_their_values() -> None:
    space = parse_space(
        "a.b: {low: 1, high: 9, step: 2}\nc: {low: 0.1, high: 1, log: true}\nd: [1, 0.5, x, true, null]\n",
        "s",
    )
    assert space == {
        "a.b": Range(low=1, high=9, step=2),
        "c": Range(low=0.1, high=1, log=True),
        "d": (1, 0.5, "x", True, None),
    }
    whole, real = space["a.b"], space["c"]
    assert isinstance(whole, Range) and whole.whole
    assert isinstance(real, Range) and not real.whole


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: {low: 2, high: 1}", "space.a", "is not below high"),
        ("a: {low: 0, high: 1, log: true}", "space.a", "log wants low above 0"),
        ("a: {low: 1, high: 2, step: 3}", "space.a", "step"),
        ("a: {low: 1, high: 2, lag: true}", "space.a", "lag"),
        ("a: {low: 1, high: .nan}", "space.a", "finite"),
        ("a: [1]", "space.a", "at least 2"),
        ("a: 3", "space.a", ""),
        ("{}", "space", "at least 1"),
        ("- a", "space", "dictionary"),
    ],
)
def test_faults_of_a_space_are_named(text: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space(text, "mine.yaml")
    assert any(where in problem.where and what in str(problem) for problem in caught.value.problems)


def test_every_bound_and_choice_must_make_a_sound_recipe(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "train.epochs: {low: 0, high: 9}\nstudent.neuron.kind: [lif, fil]\n"
        "student.blocks.7.channels: [1, 2]\ntrain.learning: [1, 2]\n"
        "name: [a, b]\ntrain.lr: {low: 0.1, high: 1}\n"
    )
    with pytest.raises(ConfigError) as caught:
        plan(space=file)
    where = [problem.where for problem in caught.value.problems]
    assert where[0] == "train.epochs" and "student.neuron.kind" in where[1]
    assert where[2:] == ["student.blocks.7.channels", "train.learning", "name"]


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ConfigError, match="has no search space"):
        make_plan("quickstart", (), None, profile="loihi2", samples=1, seed=0)
    with pytest.raises(ConfigError, match="no search space file at"):
        plan(space=Path("/nowhere.yaml"))
    with pytest.raises(ConfigError, match="Unknown profile 'loihi9'"):
        plan(profile="loihi9")


def test_trial_recipes_have_the_values_and_nothing_else() -> None:
    base = load_recipe("short-digits-sweep")
    made = plan().trial_recipe({"student.blocks.1.channels": 24, "train.lr": 0.004, "timesteps": 8})
    changed = {key for key, value in made.to_dict().items() if value != base.to_dict()[key]}
    assert changed == {"student", "train", "timesteps", "description", "sweep"}
    assert made.to_dict()["student"]["blocks"][1]["channels"] == 24
    assert plan().trial_recipe({}).digest() == base.digest()


def test_a_search_space_is_no_part_of_what_a_recipe_trains() -> None:
    assert load_recipe("short-digits-sweep", ["sweep=null"]).digest() == plan().recipe.digest()


def test_only_the_same_search_goes_on_in_a_folder(tmp_path: Path) -> None:
    first = keep_plan(tmp_path, plan())
    again = keep_plan(tmp_path, plan())
    assert (again.owner, again.study) == (first.owner, first.study)
    for other in (plan("train.lr=0.1"), plan(profile="loihi2"), plan(samples=8)):
        with pytest.raises(ConfigError, match="holds another sweep"):
            keep_plan(tmp_path, other)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        keep_plan(tmp_path, plan())
