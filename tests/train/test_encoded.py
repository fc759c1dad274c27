"""The last stage reads codes, and the encoder each design once."""

from __future__ import annotations

import numpy as np
import torch

from epurecli.training import encoded
from epurecli.training.encoded import Encoded


def flow_run(make_run, new_model, small):
    tree = small.model_dump()
    tree["model"]["latent_prior"]["kind"] = "flow"
    model = new_model(type(small).model_validate(tree))
    return make_run(model), model.stages()[-1]


def test_codes_are_those_of_the_designs(make_run, new_model, small) -> None:
    run, stage = flow_run(make_run, new_model, small)
    codes = Encoded(run, stage)
    assert (len(codes.train), len(codes.validation)) == (len(run.dataset.train), len(run.dataset.validation))
    for own, theirs in ((codes.train, run.dataset.train), (codes.validation, run.dataset.validation)):
        picked = np.array([3, 0, 2])
        batch, images = codes.batch(own[picked], run.device), run.dataset.batch(theirs[picked])
        code = run.model.encode_whole(images)
        torch.testing.assert_close(batch.image, code)
        torch.testing.assert_close(run.model.posterior(batch.image).mean, run.model.posterior(code).mean)
        assert torch.equal(batch.condition, images.condition)
    assert not batch.image.requires_grad


def test_a_large_set_is_drawn_from(make_run, new_model, small, monkeypatch) -> None:
    monkeypatch.setattr(encoded, "LARGEST", 20)
    run, stage = flow_run(make_run, new_model, small)
    codes = Encoded(run, stage)
    assert (len(codes.train), len(codes.validation), len(codes.codes)) == (20, 7, 27)
    known = run.model.encode_whole(run.dataset.batch(run.dataset.train))
    rows = torch.cdist(codes.codes[:20], known).argmin(1)
    assert len(rows.unique()) == 20
    assert rows.max() >= 20  # not the first ones
    torch.testing.assert_close(codes.codes[:20], known[rows])
