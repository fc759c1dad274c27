"""The Meta-VAE: what is frozen stays frozen, what is hidden stays hidden, what is brought fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from epurecli.checkpoint import load_tensors, start_run
from epurecli.config import RunConfig, load_config
from epurecli.data.dataset import open_dataset
from epurecli.errors import CheckpointError, ConfigError
from epurecli.models.counting import count_config
from epurecli.models.meta_vae.model import MetaVAE
from epurecli.models.meta_vae.pretrained import file_name
from epurecli.models.registry import build, schema_of
from epurecli.training.job import TrainingJob
from epurecli.training.loop import train

NAMES = ("group_nc", "group_km", "bt", "fpu", "tpc")


def configure(*overrides: str) -> RunConfig:
    return load_config(
        "meta_vae_toy_test", schema_of, ["data.toy.count=64", "training.stage2.batch_size=16", *overrides]
    )


def trained(folder: Path, *overrides: str, model: MetaVAE | None = None) -> tuple[MetaVAE, Path]:
    config = configure(*overrides)
    dataset = open_dataset(config.data)
    torch.manual_seed(0)
    model = model or build(config)
    model.load_pretrained()
    run = start_run(config, dataset, folder)
    train(TrainingJob(model, dataset, run, 0, torch.device("cpu")))
    return model, run


def decoders(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in tensors.items() if k.startswith("marginal_decoders.")}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    return [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]


def test_frozen_decoders_are_bit_identical_after_stage_2(tmp_path: Path) -> None:
    _, run = trained(tmp_path)
    first, second = load_tensors(run / "marginal.safetensors")[0], load_tensors(run / "best.safetensors")[0]
    assert decoders(first)
    assert changed(decoders(first), second) == []
    moved = changed(first, second)
    assert any(name.startswith("meta_encoder.") for name in moved)
    assert any("running_mean" in name for name in moved)


class Thawed(MetaVAE):
    """Stage 2 also trains the decoders: what the test above must notice."""

    def own_stages(self):
        first, second = super().own_stages()
        (objective,) = second.objectives
        objective = replace(objective, trains=(*objective.trains, self.marginal_decoders))
        return [first, replace(second, objectives=(objective,))]


def test_thawed_decoders_would_be_noticed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    _, run = trained(tmp_path, model=Thawed(configure()))
    first, second = load_tensors(run / "marginal.safetensors")[0], load_tensors(run / "best.safetensors")[0]
    assert changed(decoders(first), second)


def test_hidden_components_do_not_influence_the_posterior() -> None:
    torch.manual_seed(0)
    model = build(configure()).eval()
    image, mask = torch.rand(6, 5, 64, 32), torch.rand(6, 5) < 0.5
    other = torch.where(mask[..., None, None], image, torch.rand_like(image))
    torch.testing.assert_close(model.infer(image, mask).mean, model.infer(other, mask).mean, rtol=0, atol=0)
    assert not torch.equal(model.infer(image, mask).mean, model.infer(image, ~mask).mean)


@pytest.mark.parametrize("name", ["meta_vae_epure_full", "meta_vae_epure_matched"])
def test_the_planned_size(name: str) -> None:
    count = count_config(name)
    assert 3.7e6 <= count.trainable <= 4.0e6
    assert 0.36e6 <= count.frozen <= 0.6e6
    assert 4.0e6 <= count.to_sample <= 4.5e6
    assert count.to_sample == count.trainable + count.frozen
    assert count.training_only > 0
    assert count.met


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Marginal decoders that a first run left."""
    folder = tmp_path_factory.mktemp("brought")
    _, run = trained(folder / "runs", "paths.pretrained_dir=decoders")
    return run / "decoders"


@pytest.mark.parametrize("folder", ["/tmp/decoders", "../decoders", "."])
def test_decoders_are_left_within_the_run(folder: str) -> None:
    with pytest.raises(ConfigError, match="within the run's own"):
        configure(f"paths.pretrained_dir={folder}")


def paths(folder: Path, names: tuple[str, ...] = NAMES) -> str:
    return f"model.marginal_vae_paths=[{', '.join(str(folder / file_name(n)) for n in names)}]"


def test_brought_decoders_replace_stage_1(brought: Path, tmp_path: Path) -> None:
    _, run = trained(tmp_path, paths(brought))
    weights = load_tensors(run / "best.safetensors")[0]
    for c, name in enumerate(NAMES):
        for key, tensor in load_file(brought / file_name(name)).items():
            assert torch.equal(weights[f"marginal_decoders.{c}.{key}"], tensor)
    assert not (run / "marginal.safetensors").exists()


def test_a_plain_pt_file_will_do(brought: Path, tmp_path: Path) -> None:
    files = []
    for name in NAMES:
        files.append(tmp_path / f"marginal_vae_{name}.pt")
        torch.save(load_file(brought / file_name(name)), files[-1])
    model = build(configure(f"model.marginal_vae_paths=[{', '.join(map(str, files))}]"))
    model.load_pretrained()
    assert torch.equal(
        model.marginal_decoders[0].expand.weight, load_file(brought / file_name("group_nc"))["expand.weight"]
    )


def test_brought_decoders_that_do_not_fit_are_named(brought: Path, tmp_path: Path) -> None:
    def fails(kind: type[Exception], match: str, *overrides: str) -> None:
        with pytest.raises(kind, match=match):
            build(configure(*overrides)).load_pretrained()

    swapped = ("group_km", "group_nc", *NAMES[2:])
    fails(ConfigError, "is the decoder of group_km, but stands where group_nc", paths(brought, swapped))
    fails(ConfigError, "has 4 files for 5 components", paths(brought, NAMES[:4]))
    fails(CheckpointError, "no such file", paths(tmp_path))
    fails(CheckpointError, "component_latent_dim is 9", paths(brought), "model.component_latent_dim=9")
    for name in NAMES:
        tensors = load_file(brought / file_name(name))
        save_file(tensors | {"more": torch.zeros(1)}, tmp_path / file_name(name))
    fails(CheckpointError, "holds 'more'", paths(tmp_path))
    (tmp_path / file_name("group_nc")).write_bytes(b"\x80\x04 no tensors")
    fails(CheckpointError, "truncated, or not a file", paths(tmp_path))
