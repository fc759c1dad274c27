"""Sizes: docs/plan.md says of all nine models what is counted here."""

from __future__ import annotations

from pathlib import Path

import pytest

from epurecli.config import load_config, shipped
from epurecli.models.counting import count, count_config
from epurecli.models.registry import REGISTRY, schema_of

PLANS = sorted(name for name in shipped() if "_epure_" in name)
_MET = {None: "-", True: "met", False: "not met"}


def shown(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


@pytest.mark.parametrize("name", PLANS)
def test_the_plans_table_is_what_is_counted(name: str) -> None:
    table = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
    (row,) = [line for line in table.splitlines() if f"| `{name}` |" in line]
    found = count_config(name)
    sizes = map(shown, (found.total, found.trainable, found.frozen, found.to_sample))
    assert row.strip("| ").split(" | ")[1:] == [found.claim, shown(found.public), f"`{name}`", *sizes, _MET[found.met]]


@pytest.mark.parametrize("model", REGISTRY)
def test_a_size_that_the_plan_states_is_met_by_some_config_and_the_public_codes_is_told_where_none_is(
    model: str,
) -> None:
    found = [count_config(name) for name in PLANS if name.startswith(f"{model}_epure_")]
    claim = schema_of(model).CLAIM
    assert claim is not None
    assert all((one.claim, one.public) == (claim.text, claim.public) for one in found)
    if claim.total is None:
        assert claim.public
        assert [one.met for one in found] == [None]
    else:
        assert any(one.met for one in found)


def test_what_only_training_needs_is_told_apart() -> None:
    config = load_config("wgan_gp_toy_test", schema_of)
    found = count(config, "mine")
    assert (found.config, found.model, found.claim) == ("mine", "wgan_gp", None)
    assert found.total - found.training_only == found.to_sample == found.trainable + found.frozen
    assert found.training_only > 0
