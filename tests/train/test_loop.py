"""What the loop does to weights, and when: clipping, schedules, evaluation, early stop, budget, NaN."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from epurecli.checkpoint import load_tensors, newest_run, read_metrics, read_run
from epurecli.errors import NotFound, NumericalError
from epurecli.models.contract import Objective, Stage
from epurecli.nn.step import Step
from epurecli.training.loop import Stopped, train
from epurecli.types import Batch, Losses


def by_hand(slopes: list[float], lr: float, clip: float | None, decay: float = 0.0, rates=None) -> list[float]:
    """w after each step of AdamW with clipping between backward and step."""
    w = nn.Parameter(torch.zeros(1, 1))
    optimizer = torch.optim.AdamW([w], lr=lr, weight_decay=decay, fused=True)
    path = []
    for step, slope in enumerate(slopes):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.zero_grad()
        (slope * w.sum()).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_([w], clip)
        optimizer.step()
        path.append(w.item())
    return path


def test_gradients_are_clipped_between_backward_and_step(point) -> None:
    slopes = [1e6, -1.0, -1.0, 1.0]
    case = point(epochs=2, grad_clip=1.0)
    case.model.slopes = lambda step: slopes[step]
    train(case.run)
    clipped, free = by_hand(slopes, 0.1, 1.0), by_hand(slopes, 0.1, None)
    last = load_tensors(case.run.folder / "last.safetensors")[0]["inner.weight"].item()
    assert last == pytest.approx(clipped[-1], rel=1e-6)
    assert abs(clipped[-1] - free[-1]) > 0.01, "the case would not tell"


def test_weight_decay_and_rate_reach_the_optimizer(point) -> None:
    case = point(epochs=3, weight_decay=0.5, lr=0.3)
    train(case.run)
    last = load_tensors(case.run.folder / "last.safetensors")[0]["inner.weight"].item()
    assert last == pytest.approx(by_hand([1.0] * 6, 0.3, 100.0, 0.5)[-1], rel=1e-6)


def test_the_rate_follows_cosine_and_warm_up_step_by_step(point) -> None:
    case = point(epochs=3, scheduler="cosine", warmup_steps=3)
    train(case.run)
    rates = [0.1 * min(1, (s + 1) / 3) * 0.5 * (1 + math.cos(math.pi * s / 6)) for s in range(6)]
    last = load_tensors(case.run.folder / "last.safetensors")[0]["inner.weight"].item()
    assert last == pytest.approx(by_hand([1.0] * 6, 0.1, 100.0, rates=rates)[-1], rel=1e-5)
    assert [row["lr"] for row in read_metrics(case.run.folder)] == pytest.approx(rates[1::2], rel=1e-4)


def test_plateau_lowers_the_rate_after_patience(point) -> None:
    case = point(epochs=8, scheduler="plateau", patience=2, factor=0.5, batch_size=70)
    case.model.figures = [5, 6, 6, 6, 6, 6, 6, 1]
    train(case.run)
    assert [row["lr"] for row in read_metrics(case.run.folder)] == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025]


def test_each_design_is_seen_once_an_epoch_in_an_order_that_changes(point, dataset) -> None:
    case = point(epochs=2, batch_size=32)
    train(case.run)
    assert [len(seen) for seen in case.model.seen] == [32, 32, 6] * 2
    first, second = torch.cat(case.model.seen[:3]), torch.cat(case.model.seen[3:])
    everything = torch.from_numpy(dataset.scaler.encode(dataset.conditions[dataset.train]))
    assert sorted(first.tolist()) == sorted(second.tolist()) == sorted(everything.tolist())
    assert not torch.equal(first, second)
    assert not torch.equal(first, everything)


def test_the_seed_decides_the_order(small, point, make_run) -> None:
    orders = []
    for seed in (1, 1, 2):
        case = point()
        train(make_run(case.model, seed=seed))
        orders.append(torch.cat(case.model.seen))
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_training_and_validation_figures_come_from_their_own_designs(point, dataset) -> None:
    case = point(epochs=2, batch_size=32)  # the last batch is short: means over designs, not over batches
    train(case.run)
    for row in read_metrics(case.run.folder):
        assert row["train_image"] == pytest.approx(dataset.images[dataset.train].mean() / 255, rel=1e-4)
        assert row["val_image"] == pytest.approx(dataset.images[dataset.validation].mean() / 255, rel=1e-4)
    assert abs(dataset.images[dataset.train].mean() / dataset.images[dataset.validation].mean() - 1) > 1e-3


def test_training_never_reads_a_test_design(small, dataset, make_run, new_model) -> None:
    """Unreadable test designs with conditions that are not numbers: every stage gives the same weights, bit for bit."""
    tree = small.model_dump()
    tree["model"]["latent_prior"]["kind"] = "flow"
    config = type(small).model_validate(tree)

    class Spoilt:
        """The images, of which the test designs cannot be read."""

        def take(self, indices):
            assert not set(np.asarray(indices).tolist()) & set(dataset.test.tolist()), "a test design was read"
            return dataset.store.take(indices)

    conditions = dataset.conditions.copy()
    conditions[dataset.test] = np.nan
    spoilt = replace(dataset, store=Spoilt(), conditions=conditions)
    weights = []
    for data in (dataset, spoilt):
        run = make_run(new_model(config), data=data)
        train(run)
        weights.append(load_tensors(run.folder / "best.safetensors")[1]["sha256"])
    assert weights[0] == weights[1]


def test_validation_has_the_same_noise_every_time_and_training_new_noise(point) -> None:
    case = point(epochs=3)
    train(case.run)
    rows = read_metrics(case.run.folder)
    assert len({row["val_noise"] for row in rows}) == 1
    assert len({row["train_noise"] for row in rows}) == 3


def test_a_loss_is_told_epochs_and_steps(point) -> None:
    case = point(epochs=2)
    train(case.run)
    assert [(s.epoch, s.index) for s in case.model.steps] == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert {s.settings for s in case.model.steps} == {case.model.settings}


@pytest.mark.parametrize(("epochs", "every", "evaluated"), [(5, 2, [2, 4, 5]), (4, 2, [2, 4]), (3, 10, [3])])
def test_evaluation_every_few_epochs_and_at_the_end(point, epochs: int, every: int, evaluated: list[int]) -> None:
    case = point(epochs=epochs, eval_every=every)
    train(case.run)
    rows = read_metrics(case.run.folder)
    assert [row["epoch"] for row in rows if "val_total" in row] == evaluated
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))


def test_best_and_last_are_kept_apart_and_the_best_is_what_remains(point) -> None:
    case = point(epochs=3)
    case.model.figures = [3, 1, 2]
    train(case.run)
    path = by_hand([1.0] * 6, 0.1, 100.0)
    for name, epoch, metric in (("best", 2, 1.0), ("last", 3, 2.0)):
        tensors, facts = load_tensors(case.run.folder / f"{name}.safetensors")
        assert tensors["inner.weight"].item() == pytest.approx(path[2 * epoch - 1], rel=1e-6)
        assert (int(facts["epoch"]), float(facts["metric"]), facts["stage"]) == (epoch, metric, "pull")
    assert case.model.w == pytest.approx(path[3], rel=1e-6)
    facts = read_run(case.run.folder)
    assert (facts["finished"], facts["best"], facts["best_epoch"]) == (True, 1.0, 2)


def test_early_stop_waits_for_evaluations_without_progress(point) -> None:
    case = point(epochs=50, early_stop=3)
    case.model.figures = [5, 4, 4.5, 3, 3, 3, 3, 1]
    train(case.run)
    assert [row["epoch"] for row in read_metrics(case.run.folder)] == [1, 2, 3, 4, 5, 6, 7]
    assert read_run(case.run.folder)["best_epoch"] == 4


def test_a_spent_budget_ends_training_with_an_evaluation(point) -> None:
    case = point(epochs=1000, budget_s=1e-6, eval_every=7)
    train(case.run)
    (row,) = read_metrics(case.run.folder)
    assert (row["epoch"], row["step"]) == (1, 1)
    assert "val_total" in row
    assert (case.run.folder / "best.safetensors").is_file()
    assert read_run(case.run.folder)["finished"]


def test_an_evaluation_that_uses_up_the_budget_is_kept(point) -> None:
    case = point(epochs=1, budget_s=0.3)
    evaluate = case.model.validate
    case.model.validate = lambda *args: time.sleep(0.35) or evaluate(*args)
    train(case.run)
    assert load_tensors(case.run.folder / "best.safetensors")[1]["epoch"] == "1"
    assert len(read_metrics(case.run.folder)) == 1


def test_a_run_stopped_with_its_budget_spent_still_ends_with_an_evaluation(point) -> None:
    case = point(epochs=1, budget_s=1e-6)
    with pytest.raises(Stopped):
        train(case.run, stop_requested=lambda: True)
    train(case.run, resume=True)
    assert "val_total" in read_metrics(case.run.folder)[-1]
    assert (case.run.folder / "best.safetensors").is_file()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_in_a_message_and_the_best_is_kept(point, bad: float) -> None:
    case = point(epochs=4)
    case.model.slopes = lambda step: bad if step == 3 else 1.0
    with pytest.raises(NumericalError, match=r"pull, epoch 2, step 3: the loss is (nan|-inf).*image") as caught:
        train(case.run)
    assert caught.value.exit_code == 5
    assert str(case.run.folder) in caught.value.hint
    tensors, facts = load_tensors(case.run.folder / "best.safetensors")
    assert facts["epoch"] == "1"
    assert tensors["inner.weight"].item() == pytest.approx(by_hand([1.0] * 2, 0.1, 100.0)[-1])
    assert torch.isfinite(case.model.inner.weight).all()
    assert not read_run(case.run.folder)["finished"]


def test_a_gradient_that_is_not_finite_counts_too(point) -> None:
    case = point(epochs=4)
    case.model.loss = lambda batch, step: Losses(case.model.inner.weight.sum().sqrt())  # d sqrt at 0: infinite
    with pytest.raises(NumericalError, match=r"gradient's norm (inf|nan)"):
        train(case.run)


def test_a_validation_loss_that_is_not_finite_counts_too(point) -> None:
    case = point(epochs=4)
    case.model.figures = [1, float("nan")]
    with pytest.raises(NumericalError, match="pull, epoch 2: the validation loss is nan"):
        train(case.run)
    assert load_tensors(case.run.folder / "best.safetensors")[1]["epoch"] == "1"


def test_a_stopped_run_is_not_taken_for_a_finished_one(point) -> None:
    case = point(epochs=4)
    with pytest.raises(Stopped):
        train(case.run, stop_requested=lambda: len(case.model.seen) == 3)
    assert len(case.model.seen) == 3
    with pytest.raises(NotFound, match=rf"{case.run.folder.name} has not finished"):
        newest_run(case.run.folder.parent, "vae")


def test_objectives_take_turns_and_freeze_each_other(point) -> None:
    """A critic of two steps a batch and a player of one: each with its own optimizer, the other bit for bit still."""
    case = point(epochs=1)
    model, log = case.model, []
    model.other = nn.Linear(1, 1, bias=False)

    def loss_of(name: str, mine: nn.Module, theirs: nn.Module):
        def loss(batch, step):
            assert mine.training
            assert not theirs.training
            assert not theirs.weight.requires_grad
            log.append((name, step.index, model.inner.weight.item(), model.other.weight.item()))
            return Losses((mine.weight * theirs.weight).sum() + mine.weight.sum())

        return loss

    critic = Objective("critic", (model.other,), loss_of("critic", model.other, model.inner), repeat=2)
    player = Objective("player", (model.inner,), loss_of("player", model.inner, model.other))
    model.stages = lambda: [Stage("game", model.settings, (critic, player), model.validate)]
    train(case.run)
    assert [(name, step) for name, step, *_ in log] == [
        ("critic", 0), ("critic", 1), ("player", 0), ("critic", 2), ("critic", 3), ("player", 1),
    ]  # fmt: skip
    inner, other = [entry[2] for entry in log], [entry[3] for entry in log]
    assert inner[0] == inner[1] == inner[2] != inner[3] == inner[4]
    assert other[0] != other[1] != other[2] == other[3] != other[4]
    (row,) = read_metrics(case.run.folder)
    assert {"train_critic", "train_player"} <= row.keys()


def test_a_stage_starts_from_the_best_weights_of_the_one_before(point) -> None:
    case = point(epochs=3)
    model = case.model
    model.figures = [3, 1, 2]
    first = model.stages()[0]
    second = Stage("push", model.settings, first.objectives, first.validate)
    model.stages = lambda: [first, second]
    start = []
    before = model.loss
    model.slopes = lambda step: start.append(model.w) or 1.0
    train(case.run)
    path = by_hand([1.0] * 6, 0.1, 100.0)
    assert start[6] == pytest.approx(path[3], rel=1e-6)  # epoch 2 was the best of the first stage
    assert before is not None
    rows = read_metrics(case.run.folder)
    assert [(row["stage"], row["epoch"]) for row in rows] == [(s, e) for s in ("pull", "push") for e in (1.0, 2.0, 3.0)]
    assert (case.run.folder / "pull.safetensors").is_file()


def test_what_the_end_of_a_stage_sets_is_in_both_checkpoints(point) -> None:
    """From the best weights and the validation designs; the rest of each checkpoint stays as it was."""
    case = point(epochs=3)
    model = case.model
    model.register_buffer("scale", torch.zeros(1))
    model.figures, seen = [3, 1, 2], []
    (stage,) = model.stages()

    def finish(designs: Batch, step: Step) -> dict[str, Tensor]:
        seen.append((model.w, len(designs), step.rand(1).item()))
        model.scale.fill_(model.w)
        return {"scale": model.scale}

    model.stages = lambda: [replace(stage, finish=finish)]
    train(case.run)
    path = by_hand([1.0] * 6, 0.1, 100.0)
    for name, epoch, metric in (("best", 2, 1.0), ("last", 3, 2.0)):
        tensors, facts = load_tensors(case.run.folder / f"{name}.safetensors")
        assert tensors["inner.weight"].item() == pytest.approx(path[2 * epoch - 1], rel=1e-6)
        assert tensors["scale"].item() == pytest.approx(path[3], rel=1e-6)
        assert (int(facts["epoch"]), float(facts["metric"]), facts["stage"]) == (epoch, metric, "pull")
    train(case.run, resume=True)  # as after a kill before the run was marked as finished
    assert seen == [(pytest.approx(path[3], rel=1e-6), len(case.run.dataset.validation), seen[0][2])] * 2


def test_a_real_model_learns_a_few_designs_by_heart(small, dataset, make_run, new_model) -> None:
    from epurecli.config import load_config
    from epurecli.models.registry import schema_of

    config = load_config(
        "vae_toy_test",
        schema_of,
        ["data.toy.count=88", "training.epochs=25", "training.lr=5e-3", "training.batch_size=35", "model.dropout_p=0"],
    )
    run = make_run(new_model(config))
    train(run)
    rows = read_metrics(run.folder)
    assert rows[-1]["train_elbo"] < 0.5 * rows[0]["train_elbo"]
    assert rows[-1]["val_total"] < 0.6 * rows[0]["val_total"]
    assert rows[-1]["val_iou"] > 0.2
    assert rows[-1]["train_elbo"] != rows[-1]["val_total"]
