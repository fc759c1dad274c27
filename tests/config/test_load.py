"""Config files: faults name file, line, key and the nearest key; overrides; round trip."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from epurecli.config import dump_config, load_config, shipped
from epurecli.config.load import MAX_BYTES, apply_overrides, read_source
from epurecli.errors import ConfigError, NotFound
from epurecli.models.registry import schema_of

PLAIN = """\
model:
  type: vae
  cond_dim: 2
data:
  toy: {count: 100}
training:
  lr: 1e-4
  epochs: 3
paths:
  output_dir: outputs/vae/
  samples_dir: samples/vae/
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def fault(source: object, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(source, schema_of, overrides)
    return caught.value


def test_a_good_file_loads(write) -> None:
    config = load_config(write(PLAIN), schema_of)
    assert (config.model.type, config.training.lr, config.training.epochs) == ("vae", 1e-4, 3)


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("  lr: 1e-4", "  learning_rat: 1"), 7, "training.learning_rat: unknown key"),
        (("  lr: 1e-4", "  epoch: 5"), 7, "training.epoch: unknown key - did you mean 'epochs'?"),
        (("  lr: 1e-4", "  batchsize: 5"), 7, "training.batchsize: unknown key - did you mean 'batch_size'?"),
        (("training:", "trainig:"), 6, "trainig: unknown key - did you mean 'training'?"),
        (("{count: 100}", "{cuont: 100}"), 5, "data.toy.cuont: unknown key - did you mean 'count'?"),
        (("  cond_dim: 2", "  reconstruction:\n    likelyhood: gaussian"), 4,
         "model.reconstruction.likelyhood: unknown key - did you mean 'likelihood'?"),
        (("  cond_dim: 2", "  zzz: 2"), 3, "model.zzz: unknown key - vae has no such key here; valid: type, "),
        (("epochs: 3", "epochs: -1"), 8, "training.epochs: input should be greater than or equal to 1 (found -1)"),
        (("lr: 1e-4", "lr: fast"), 7, "training.lr: input should be a valid number"),
        (("lr: 1e-4", "lr: .nan"), 7, "training.lr"),
        (("lr: 1e-4", "lr: .inf"), 7, "training.lr"),
        (("lr: 1e-4", "weight_decay: .nan"), 7, "training.weight_decay"),
        (("  cond_dim: 2", "  beta: .inf"), 3, "model.beta"),
        (("lr: 1e-4", "optimizer: sgd"), 7, "training.optimizer"),
        (("lr: 1e-4", "masking: some"), 7, "training.masking: input should be 'subset' or 'single' (found 'some')"),
        (("lr: 1e-4", "seed: 99999999999999999999999999"), 7, "training.seed"),
        (("  cond_dim: 2", "  image_size: [60, 32]"), 3, "model.image_size: height and width must be multiples of 8"),
        (("{count: 100}", "{count: 3}"), 5, "data.toy.count"),
        (("  toy: {count: 100}", "  filename_pattern: x"), 4, "data: give exactly one of root_dir"),
        (("  toy: {count: 100}", "  toy: {count: 100}\n  root_dir: x"), 4, "data: give exactly one of root_dir"),
        (("  toy: {count: 100}", "  toy: {count: 100}\n  component_dirs: [bt, bt]"), 4,
         "data: component_dirs names something twice: bt, bt"),
        (("  toy: {count: 100}", "  toy: {count: 100}\n  filename_pattern: x.png"), 4,
         "data: filename_pattern must contain"),
        (("  toy: {count: 100}", "  toy: {count: 100}\n  component_dirs: []"), 6, "data.component_dirs"),
    ],
)  # fmt: skip
def test_a_fault_names_file_line_and_key(write, change: tuple[str, str], line: int, message: str) -> None:
    path = write(PLAIN.replace(*change))
    text = fault(path).message
    assert f"{path}:{line}: {message}" in text


def test_all_faults_come_at_once_one_a_line(write) -> None:
    path = write(PLAIN.replace("lr: 1e-4", "lr: -1\n  zap: 1").replace("type: vae", "type: vae\n  nff: 3"))
    lines = fault(path).message.splitlines()
    assert sorted(re.search(r": ([\w.]+): ", line).group(1) for line in lines) == [
        "model.nff", "training.lr", "training.zap",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["training", "paths", "data"])
def test_a_missing_section_is_named(write, missing: str) -> None:
    text = re.sub(rf"(?m)^{missing}:\n(  .*\n)+", "", PLAIN)
    assert f"{missing}: this key is required" in fault(write(text)).message


@pytest.mark.parametrize("text", ["", "3", "[1, 2]", "just words"])
def test_what_is_no_mapping_is_refused(write, text: str) -> None:
    assert "expected sections" in fault(write(text)).message


def test_the_model_must_be_named(write) -> None:
    assert "model.type is missing" in fault(write(PLAIN.replace("  type: vae\n", ""))).message


def test_an_unknown_model_names_the_nearest(write) -> None:
    error = fault(write(PLAIN.replace("type: vae", "type: veo")))
    assert "model.type: no model 'veo' - did you mean 'vae'?" in error.message


def test_conditions_and_cond_dim_that_differ_name_both(write) -> None:
    message = fault(write(PLAIN.replace("cond_dim: 2", "cond_dim: 3"))).message
    assert "model.cond_dim is 3" in message
    assert "data.condition_columns names 2 (width_px, height_px)" in message


def test_channels_and_components_that_differ_name_both(write) -> None:
    message = fault(write(PLAIN.replace("cond_dim: 2", "channels: 4"))).message
    assert "model.channels is 4" in message
    assert "names 5 (group_nc, group_km, bt, fpu, tpc)" in message


def test_weights_that_do_not_fit_the_components(write) -> None:
    text = PLAIN.replace("  cond_dim: 2", "  reconstruction: {recon_weights: [1, 2]}")
    assert "recon_weights has 2 values for 5 components" in fault(write(text)).message


def test_the_short_form_of_the_latent_prior(write) -> None:
    text = PLAIN.replace("  cond_dim: 2", "  latent_prior: flow")
    assert load_config(write(text), schema_of).model.latent_prior.kind == "flow"


# --- overrides --------------------------------------------------------------------------------------------------------


def test_overrides_change_one_key_and_leave_the_rest(write) -> None:
    before = load_config(write(PLAIN), schema_of)
    after = load_config(write(PLAIN), schema_of, ["training.lr=3e-4", "model.image_size=[32, 16]"])
    assert after.training.lr == 3e-4
    assert after.model.image_size == (32, 16)
    assert after.training.model_copy(update={"lr": 1e-4}) == before.training


def test_overrides_do_not_touch_the_callers_tree() -> None:
    tree = {"training": {"lr": 1}, "list": [1]}
    changed = apply_overrides(tree, ["training.lr=2", "new.deep.key=x"])
    assert tree == {"training": {"lr": 1}, "list": [1]}
    assert changed == {"training": {"lr": 2}, "list": [1], "new": {"deep": {"key": "x"}}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.lr", "--set training.lr: expected section.key=value"),
        ("=3", "expected section.key=value"),
        ("training..lr=3", "expected section.key=value"),
        ("training.lr.x=3", "lr is a value, not a section"),
        ("training.lrr=3", "training.lrr: unknown key - did you mean 'lr'?"),
        ("training.epochs=-3", "training.epochs: input should be greater than or equal to 1 (found -3)"),
        ("training.lr=[1", "--set training.lr:1: not valid YAML"),
        ("training=3", "training"),
        ("model=3", "model.type is missing"),
        ("nonsense.key=3", "nonsense: unknown key"),
    ],
)
def test_overrides_that_do_not_fit(write, override: str, message: str) -> None:
    assert message in fault(write(PLAIN), override).message


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_shipped_name_with_and_without_its_ending() -> None:
    assert read_source("vae_toy") == read_source("vae_toy.yaml")


@pytest.mark.parametrize("source", ["vae_tyo", "", ".", "a\0b", "no/such/file.yaml", "x" * 5000])
def test_what_is_neither_a_file_nor_shipped(source: str) -> None:
    with pytest.raises(NotFound):
        load_config(source, schema_of)


def test_the_shipped_names_are_shown() -> None:
    with pytest.raises(NotFound) as caught:
        read_source("vae_tyo")
    assert "vae_toy" in caught.value.hint


def test_files_that_are_no_config(tmp_path: Path) -> None:
    binary, large = tmp_path / "b.yaml", tmp_path / "l.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    assert f"{binary}: not UTF-8" in fault(binary).message
    assert f"{large}: larger than" in fault(large).message


@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_saved_config_reads_back_the_same(name: str, tmp_path: Path) -> None:
    config = load_config(name, schema_of)
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml", schema_of) == config


def test_the_plan_stands_in_the_full_config() -> None:
    config = load_config("vae_epure_full", schema_of)
    model, training = config.model, config.training
    assert (model.latent_dim, model.nf, model.nf_max, model.beta, model.dropout_p) == (32, 32, 256, 4.0, 0.1)
    assert (training.epochs, training.batch_size, training.lr, training.optimizer) == (100, 128, 2e-4, "adamw")
    assert (training.weight_decay, training.warmup_epochs, training.max_mask_prob) == (1e-4, 20, 0.7)
    assert (config.sampling.num_samples, config.sampling.batch_sz, config.sampling.mode) == (100, 16, "conditional")
    assert model.reconstruction.likelihood == "gaussian"


def test_a_config_cannot_be_edited(write) -> None:
    config = load_config(write(PLAIN), schema_of)
    with pytest.raises(ValueError, match="frozen"):
        config.training.lr = 2.0
