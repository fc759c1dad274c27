"""`epure config show | diff | schema`: what they print is what a run would have."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from epurecli.config import dump_config, load_config, shipped
from epurecli.config.load import parse_yaml
from epurecli.models.registry import REGISTRY, schema_of


def own(name: str) -> dict:
    return parse_yaml(shipped()[name].read_text(encoding="utf-8"), name)[0]


@pytest.mark.parametrize("name", sorted(shipped()))
def test_show_prints_the_config_that_it_reads(name: str, epure, tmp_path: Path) -> None:
    result = epure("config", "show", name)
    assert (result.code, result.err) == (0, "")
    (tmp_path / "again.yaml").write_text(result.out, encoding="utf-8")
    assert load_config(tmp_path / "again.yaml", schema_of) == load_config(name, schema_of)
    assert result.out == dump_config(load_config(name, schema_of))


def test_show_spells_defaults_out_and_takes_settings_and_runs(epure, run_of, work: Path, tmp_path: Path) -> None:
    shown = yaml.safe_load(epure("config", "show", "vae_toy", "--set", "training.lr=3e-4").out)
    assert "patience" not in own("vae_toy")["training"]
    assert (shown["training"]["patience"], shown["training"]["lr"]) == (10, 3e-4)
    run = run_of("vae")
    assert epure("config", "show", run.relative_to(work), cwd=work).out == (run / "config.yaml").read_text()
    odd = tmp_path / "odd.yaml"
    odd.write_text("model: {type: vae}\ndata: {root_dir: ':car:/[bold]x'}\npaths: {output_dir: o, samples_dir: s}\n")
    odd.write_text(odd.read_text() + "training: {}\n")
    assert "root_dir: :car:/[bold]x" in epure("config", "show", odd).out.replace("'", "")


def test_diff_lists_the_keys_that_differ_and_no_others(epure) -> None:
    one, other = (load_config(name, schema_of).model_dump(mode="json") for name in ("vae_toy", "vae_toy_test"))
    found = json.loads(epure("config", "diff", "vae_toy", "vae_toy_test", "--json").out)
    assert found["training.epochs"] == {"one": one["training"]["epochs"], "other": other["training"]["epochs"]}

    def value(tree: dict, key: str):
        for part in key.split("."):
            tree = tree[part]
        return tree

    for key, sides in found.items():
        assert sides == {"one": value(one, key), "other": value(other, key)}
        assert sides["one"] != sides["other"]
        section, _, last = key.rpartition(".")
        one_section, other_section = (value(tree, section) for tree in (one, other))
        one_section[last] = other_section[last]
    assert one == other
    shown = epure("config", "diff", "vae_toy", "vae_toy_test").out
    assert all(key in shown for key in found)


def test_diff_of_two_models_and_of_the_same(epure) -> None:
    found = json.loads(epure("config", "diff", "vae_toy", "mdm_toy", "--json").out)
    assert found["model.type"] == {"one": "vae", "other": "mdm"}
    assert found["model.beta"] == {"one": 1.0}  # a key that the other model does not have
    same = epure("config", "diff", "vae_toy", "vae_toy")
    assert (same.code, same.out) == (0, "no differences: every key has the same value in both\n")


def test_errors_name_the_nearest(epure, tmp_path: Path) -> None:
    for argv, near in (
        (("show", "vae_toyy"), "vae_toy"),
        (("diff", "vae_toy", "vae_toi_test"), "vae_toy_test"),
        (("schema", "gmrf"), "gmrf_mvae"),
    ):
        result = epure("config", *argv)
        assert result.code in (2, 4)
        assert f"did you mean {near!r}?" in result.err
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("model: {type: vae, latent_dims: 3}\n")
    result = epure("config", "show", wrong)
    assert result.code == 2
    assert "did you mean 'latent_dim'?" in result.err
    assert f"{wrong}:1" in result.err


@pytest.mark.parametrize("model", REGISTRY)
def test_the_schema_takes_what_epure_takes(model: str, epure) -> None:
    schema = json.loads(epure("config", "schema", model).out)
    checker = jsonschema.validators.validator_for(schema)
    assert checker is jsonschema.Draft202012Validator
    checker.check_schema(schema)
    for name in shipped():
        if own(name)["model"]["type"] == model:
            checker(schema).validate(own(name))
            checker(schema).validate(load_config(name, schema_of).model_dump(mode="json"))
    wrong = own(f"{model}_toy")
    wrong["data"]["roots"] = "x"
    assert not checker(schema).is_valid(wrong)
    wrong = own(f"{model}_toy")
    wrong["model"]["type"] = "another"
    assert not checker(schema).is_valid(wrong)
