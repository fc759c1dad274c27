"""What would not fit is refused before anything is allocated."""

from __future__ import annotations

import pytest

from epurecli.config import load_config
from epurecli.errors import ConfigError
from epurecli.models.registry import REGISTRY, build, schema_of
from epurecli.models.size import check_batch

HUGE = {
    "vae": ("model.latent_dim=1000000000", "model.image_size=[65536,65536]"),
    "gmrf_mvae": ("model.latent_dim=1000000", "model.latent_dim=100000000000"),
    "meta_vae": ("model.latent_dim_meta=100000000000", "model.image_size=[65536,65536]"),
}


@pytest.mark.parametrize(("name", "setting"), [(name, s) for name, settings in HUGE.items() for s in settings])
def test_a_model_that_does_not_fit(name: str, setting: str) -> None:
    assert name in REGISTRY
    with pytest.raises(ConfigError, match=f"a {name} of these sizes"):
        build(load_config(f"{name}_toy_test", schema_of, [setting]))


def test_a_batch_that_does_not_fit() -> None:
    check_batch(64, 5, (64, 32))
    with pytest.raises(ConfigError, match="training on 4096 designs of 4096x4096 at a time takes more than"):
        check_batch(4096, 5, (4096, 4096))
