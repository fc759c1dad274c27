"""Finding a model by name, and what is counted in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from epurecli.config import load_config
from epurecli.config.latent import LatentPriorConfig
from epurecli.config.schema import Claim
from epurecli.errors import ConfigError, UsageError
from epurecli.models.contract import GenerativeModel
from epurecli.models.counting import count_config
from epurecli.models.latent import mean_iou
from epurecli.models.registry import REGISTRY, build, entry_of, model_class, schema_of


def test_an_unknown_model_names_the_nearest_and_all() -> None:
    with pytest.raises(UsageError, match="'gmrf_mvae_toy_perf' is a configuration, not a model") as taken:
        entry_of("gmrf_mvae_toy_perf")
    assert taken.value.hint == "epure train gmrf_mvae --config gmrf_mvae_toy_perf"
    with pytest.raises(UsageError, match="no model 'gmrf_mvea' - did you mean 'gmrf_mvae'") as caught:
        entry_of("gmrf_mvea")
    assert all(name in caught.value.hint for name in REGISTRY)
    with pytest.raises(ConfigError, match=r"model\.type: no model 'zzz'"):
        schema_of("zzz")


@pytest.mark.parametrize("name", REGISTRY)
def test_a_room_opens(name: str) -> None:
    assert issubclass(model_class(name), GenerativeModel)


@pytest.mark.parametrize("name", REGISTRY)
def test_what_a_model_is_good_at_is_one_line_of_measured_figures(name: str) -> None:
    text = REGISTRY[name].good_at
    assert 0 < len(text) <= 110
    assert "\n" not in text
    measured = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
    for figure in re.findall(r"\.\d+(?:-\d*\.\d+)?", text):
        assert figure in measured


def test_counting_allocates_nothing_and_calls_for_no_data() -> None:
    """A model of a billion weights is counted as quickly as a small one."""
    from epurecli.models.registry import build

    config = load_config("vae_toy", schema_of, ["model.nf=4096", "model.nf_max=4096", "data.toy.count=10"])
    with torch.device("meta"):
        model = build(config)
    assert sum(p.numel() for p in model.parameters()) > 10**9


def test_a_claim_is_about_total_trainable_and_frozen() -> None:
    claim = Claim(total=(4.0, 4.5), trainable=(3.7, 4.0), frozen=(0.36, 0.6))
    assert claim.met(4_300_000, 3_900_000)
    assert not claim.met(4_600_000, 4_000_000)
    assert not claim.met(4_300_000, 4_100_000)
    assert not claim.met(4_100_000, 3_800_000)
    assert Claim(total=(1, 2)).met(2_000_000, 0)


def test_only_the_plans_configs_carry_a_claim() -> None:
    assert count_config("vae_epure_full").claim
    assert count_config("vae_toy_test").claim is None


def test_intersection_over_union_by_hand() -> None:
    image = torch.zeros(1, 3, 2, 2)
    target = torch.zeros(1, 3, 2, 2)
    image[0, 0, 0], target[0, 0, :, 0] = 0.9, 1.0  # one of three pixels
    image[0, 1, 1, 1] = 0.6  # drawn, but not there
    assert mean_iou(image, target).item() == pytest.approx((1 / 3 + 0 + 1) / 3)  # two empty parts agree
    known = torch.tensor([[True, False, True]]).expand(image.shape[:2])
    assert mean_iou(image, target, known).item() == pytest.approx((1 / 3 + 1) / 2)


@pytest.mark.parametrize("name", ["vae_toy", "meta_vae_toy"])
def test_a_flow_does_not_make_the_model_frozen(name: str) -> None:
    """The stage that fits the flow is the last, but not the only one whose weights were trained last."""
    config = load_config(name, schema_of)
    without = config.model.model_copy(update={"latent_prior": LatentPriorConfig()})
    plain = build(config.model_copy(update={"model": without}))
    flow = sum(p.numel() for p in build(config).flow.parameters())
    trained = sum(p.numel() for o in plain.stages()[-1].objectives for p in o.parameters())
    assert count_config(name).trainable == trained + flow
