import re
import time

import pytest
import yaml

from snn_deploy.core.documents import MAX_DOCUMENT_BYTES, dump_yaml, parse_yaml
from snn_deploy.core.errors import ConfigError
from snn_deploy.recipes.recipe import load_recipe, parse_recipe


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (word, word)
            for word in ("on", "off", "yes", "no", "y", "ON", "1:30", "1_000", "2026-13-45", "=", "<<")
        ),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-9223372036854775807", -(2**63) + 1),
        ("1e-3", 0.001),
        ("-.5", -0.5),
        ("-.inf", float("-inf")),
        ("'1'", "1"),
    ],
)
def test_scalars_are_those_of_the_core_schema(text, value):
    found = parse_yaml(f"a: {text}", "origin", "recipe")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: &x 1", "anchors"),
        ("a: !!int x", "the tag 'tag:yaml.org,2002:int' is not allowed"),
        ("a: !!python/object:os.system {}", "is not allowed"),
        ("a: !!binary x", "is not allowed"),
        ("a: " + "9" * 5000, "a whole number of 5000 digits; the limit is 63 bits"),
        ("a: 9223372036854775808", "63 bits"),
        ("a: 0x" + "f" * 100_000, "63 bits"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1", "Exceeds the limit"),
        ('a: "\\UFFFFFFFF"', "too large"),
        ('a: "\\ud800"', "half of a character"),
        ("? [a]\n: b", "a key is a list or mapping"),
        ("{{}: 1}", "a key is a list or mapping"),
        ("1: 2\n01: 3", "key given twice: 1"),
        ("~: 1\nnull: 2", "key given twice: None"),
        ("[" * 5000, "lists in lists without end"),
        ("a: \x00", "special characters are not allowed"),
        (b"a: \xff\xfe", "invalid"),
        ("- a\n" * MAX_DOCUMENT_BYTES, "bytes; a recipe has at most"),
    ],
)
def test_faults_are_named(text, what):
    with pytest.raises(ConfigError, match=what):
        parse_yaml(text, "origin", "recipe")


def test_many_keys_take_linear_time():
    def seconds(count):
        begin = time.process_time()
        with pytest.raises(ConfigError, match=f"key given twice: k{count - 1} "):
            parse_yaml("".join(f"k{i}: 1\n" for i in range(count)) + f"k{count - 1}: 2", "origin", "recipe")
        return time.process_time() - begin

    few = min(seconds(2_000) for _ in range(3))
    assert min(seconds(20_000) for _ in range(2)) < 40 * few


@pytest.mark.parametrize(
    "value",
    ["off", "yes", "1e5", "010", "1:30", "2026-01-01", "~", "", "0x1f", ".inf", "é\n", "-", "<<", "1_000",
     float("inf"), 1e-5, 1e300, True, None, ["a", "a"], {"on": "off"}],
)  # fmt: skip
def test_what_is_written_means_the_same_here_and_by_yaml_1_1(value):
    text = dump_yaml({"a": value})
    assert parse_yaml(text, "origin", "recipe")["a"] == value
    assert yaml.safe_load(text)["a"] == value


@pytest.mark.parametrize(
    ("key", "words"),
    [("amp", ("auto", "on", "off")), ("channels_last", ("auto", "on", "off")), ("resident", ("auto", "off"))],
)
def test_documented_words_need_no_quotes(key, words):
    plain = dump_yaml(load_recipe("quickstart").to_dict())
    for word in words:
        by_override = load_recipe("quickstart", [f"train.{key}={word}"])
        assert getattr(by_override.train, key) == word
        in_file = parse_recipe(plain.replace(f"{key}: auto", f"{key}: {word}"))
        assert getattr(in_file.train, key) == word
    assert load_recipe("quickstart", ["train.deterministic=on"]).train.deterministic is True


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("train.lr=.inf", "finite number"),
        ("train.lr=.nan", "finite number|greater than 0"),
        ("train.epochs=" + "9" * 5000, "63 bits"),
        ("student.tau=.inf", "finite number|unknown key"),
        ("train.epochs='" + "9" * 5000 + "'", "characters"),
    ],
)
def test_faults_in_values_name_their_place(override, what):
    with pytest.raises(ConfigError) as caught:
        load_recipe("quickstart", [override])
    (problem,) = caught.value.problems
    assert problem.where == override.partition("=")[0]
    assert re.search(what, problem.what)
    assert len(str(problem)) < 6_000
