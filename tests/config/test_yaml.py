"""YAML text to config: numbers, lines, duplicates, limits. Whatever the text, a person gets a sentence."""

from __future__ import annotations

import textwrap

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from epurecli.config.load import MAX_BYTES, MAX_DEPTH, build, parse_yaml
from epurecli.config.schema import RunConfig
from epurecli.errors import ConfigError
from epurecli.models.registry import REGISTRY, schema_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2E+3", 2e3),
        ("1.e-4", 1e-4),
        (".5e2", 50.0),
        ("-3e-2", -0.03),
        ("1_000e1", 1e4),
        ("0.1", 0.1),
        ("7", 7),
        (".inf", float("inf")),
        ("true", True),
        ("null", None),
    ],
)
def test_numbers_are_numbers(text: str, value: object) -> None:
    found = parse_yaml(f"a: {text}", "f")[0]["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["1e", "e4", "1e-4x", "'1e-4'", "1-e4", "--1e4"])
def test_what_only_looks_like_a_number_stays_text(text: str) -> None:
    assert isinstance(parse_yaml(f"a: {text}", "f")[0]["a"], str)


def test_lines_of_keys_also_inside_lists() -> None:
    _, lines = parse_yaml("a:\n  b: 1\n\n  c:\n    - d: 2\n", "f")
    assert lines == {("a",): 1, ("a", "b"): 2, ("a", "c"): 4, ("a", "c", "0", "d"): 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training:\n  lr: 1\n  lr: 2\n", "f.yaml:3: training.lr is given twice"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a is given twice"),
        ("a: [1\nb: 2\n", "f.yaml:2: not valid YAML"),
        ("a: 1\n\tb: 2\n", "f.yaml:2: not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "f.yaml:1: not valid YAML"),
        ("a: 1\n---\na: 2\n", "f.yaml:2: not valid YAML"),
        ("a: \x00", "f.yaml: not valid YAML"),
    ],
)
def test_faults_of_the_text_name_the_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    assert caught.value.message.startswith(message)


def test_depth_has_a_limit() -> None:
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    parse_yaml(f"a: {deep}", "f")
    with pytest.raises(ConfigError, match=f"f:1: nested deeper than {MAX_DEPTH} levels"):
        parse_yaml("a: " + "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "f")
    with pytest.raises(ConfigError):
        parse_yaml("[" * 100_000, "f")


def test_an_alias_that_holds_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="nested"):
        parse_yaml("a: &x\n  b: *x\n", "f")


def test_size_has_a_limit() -> None:
    assert parse_yaml("# " + "x" * (MAX_BYTES - 10), "f")[0] is None
    with pytest.raises(ConfigError, match="larger than"):
        parse_yaml("# " + "x" * MAX_BYTES, "f")


@pytest.mark.timeout(60)
def test_aliases_cannot_multiply_into_a_bomb() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than"):  # unfolded, it would be 9^12 values
        parse_yaml("\n".join(lines), "bomb.yaml")


def check(text: str) -> None:
    """Any text ends in a config or in a ConfigError that says where; any other exception fails the test."""
    message = ""
    try:
        tree, lines = parse_yaml(text, "some.yaml")
        config = build(tree, lines, "some.yaml", schema_of)
    except ConfigError as error:
        config, message = None, error.message
    assert isinstance(config, RunConfig) or "some.yaml" in message or "model.type" in message


@given(st.text(max_size=200))
@example("!!int ''")
@example("!!float ''")
@example("!!bool x")
@example("!!timestamp x")
@example("!!timestamp 2001-99-99")
@example("!!binary é")
@example("2001-99-99")
@example("? [a]\n: b")
@example("<<: 3")
@example("a: !!set [1]")
@example("0b")
@example("._")
@example("1:99:")
@settings(deadline=None, max_examples=150)
def test_any_text_ends_in_a_sentence(text: str) -> None:
    check(text)


@given(st.text(alphabet="ab01:-?![]{}&*<>|'\"#%@,. \n\t~e_=", max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_yaml_punctuation_ends_in_a_sentence(text: str) -> None:
    check(text)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.binary(max_size=4)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
)
SECTIONS = ("model", "data", "training", "paths", "sampling")
KEYS = (
    "type",
    "lr",
    "epochs",
    "toy",
    "count",
    "image_size",
    "reconstruction",
    "beta",
    "latent_prior",
    "output_dir",
    "mode",
)


@given(
    model=st.sampled_from(sorted(REGISTRY)),
    tree=st.dictionaries(st.sampled_from(SECTIONS), st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4) | TREES),
)
@settings(deadline=None, max_examples=200)
def test_any_tree_ends_in_a_config_or_a_sentence(model: str, tree: dict) -> None:
    if isinstance(tree.get("model"), dict):
        tree["model"]["type"] = model
    check(yaml.safe_dump(tree, allow_unicode=True))


def test_a_config_that_says_what_it_must_is_enough() -> None:
    text = """
    model: {type: vae}
    data: {toy: {count: 100}}
    training: {}
    paths: {output_dir: o, samples_dir: s}
    """
    check(textwrap.dedent(text))
    tree, lines = parse_yaml(textwrap.dedent(text), "f")
    assert build(tree, lines, "f", schema_of).data.toy.count == 100
