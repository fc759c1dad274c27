"""The last stage reads codes, and the encoder each design once."""

from __future__ import annotations

import numpy as np
import torch

from epurecli.models.latent_fit import LatentFit
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
        code, views = LatentFit(run.model).split(batch)
        torch.testing.assert_close(code, run.model.encode_whole(images))
        assert torch.equal(batch.condition, images.condition)
        parts, size = len(run.dataset.components), run.model.latent_size
        for view in views.unbind(1):
            mask, mean, deviation = view.split((parts, size, size), dim=1)
            answer = run.model.infer(images.image, mask > 0)
            torch.testing.assert_close(mean, answer.mean)
            torch.testing.assert_close(deviation, answer.deviation)
            assert (mask.sum(1) > 0).all()
            assert (mask.sum(1) < parts).all()
        assert len(views[:, :, :parts].flatten(0, 1).unique(dim=0)) > 14  # other subsets for each design
    assert not batch.image.requires_grad


def test_a_large_set_is_drawn_from(make_run, new_model, small, monkeypatch) -> None:
    monkeypatch.setattr(encoded, "LARGEST", 20)
    run, stage = flow_run(make_run, new_model, small)
    codes = Encoded(run, stage)
    assert (len(codes.train), len(codes.validation), len(codes.codes)) == (20, 7, 27)
    known = run.model.encode_whole(run.dataset.batch(run.dataset.train))
    found = codes.codes[:20, : known.shape[1]]
    rows = torch.cdist(found, known).argmin(1)
    assert len(rows.unique()) == 20
    assert rows.max() >= 20  # not the first ones
    torch.testing.assert_close(found, known[rows])
