"""One stage of training: the epochs, batches and objectives within it, its evaluations, and what it saves.

Randomness: the data order of an epoch comes from (seed, stage, epoch) alone, dropout from (seed, stage, step); masks,
dropped conditions and latent noise from one generator whose state is saved. Losses are gathered as tensors and read
once per epoch, so a GPU is not stalled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext

import torch
from torch import Tensor, nn

from epurecli.data.loader import epoch_rows
from epurecli.errors import Diverged, NumericalError
from epurecli.models.contract import Loss, Objective, Stage, set_trainable
from epurecli.nn.step import Step
from epurecli.training.encoded import Encoded
from epurecli.training.job import TrainingJob
from epurecli.training.metrics import write_metrics
from epurecli.training.reporter import StagePlan
from epurecli.training.schedule import learning_rate, on_plateau, stage_budget
from epurecli.training.state import Progress, SavedState, Snapshot, generator, restore, save_state
from epurecli.training.validation import validate
from epurecli.training.worker import Worker, average_of, build_optimizer
from epurecli.types import Batch

SAVE_EVERY_S = 30.0  # saving flushes to disk, which costs more than a short epoch
CHECK_EVERY = 50  # steps between looks at the running sums for NaN on an accelerator, where a look is a stall


def never() -> int:
    """Nobody asks to stop."""
    return 0


class Stopped(Exception):
    """Training was asked to stop and has saved its state; `code` is what was answered to who asked."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


class StageLoop:
    """One stage: its optimizers, average and generator, and the epochs over them."""

    def __init__(
        self,
        job: TrainingJob,
        stages: Sequence[Stage],
        index: int,
        progress: Progress,
        saved: SavedState | None = None,
    ) -> None:
        stage = stages[index]
        self.job, self.stage, self.index, self.progress = job, stage, index, progress
        self.settings = stage.settings
        self.budget_s = stage_budget(job.model.config.training.budget_s, stages, index)
        decay = stage.settings.ema_decay
        self.workers = [Worker(o, build_optimizer(o, stage.settings), average_of(o, decay)) for o in stage.objectives]
        self.rng = generator(job.seed, "noise", index, device=job.device)
        if saved is not None:
            restore(saved, job.model, self.workers, self.rng)
        self.best: Snapshot | None = None  # not yet saved
        self.last: Snapshot | None = None
        self.saved = time.monotonic()
        began = time.monotonic()
        self.designs = job.dataset if stage.encode is None else Encoded(job, stage)
        if stage.prepare is not None and saved is None:
            every = self.designs.batch(self.designs.train, job.device)
            job.model.eval()
            with torch.no_grad():
                stage.prepare(every, Step(generator(job.seed, "prepare", index, device=job.device), stage.settings))
        if saved is None:  # else that time was counted when it was first spent
            self._update_elapsed(began, progress.elapsed)
        self.losses = [self._joined(objective) for objective in stage.objectives]
        # a last batch of one design has no moments, and every rank needs a design
        whole, rest = divmod(len(self.designs.train), stage.settings.batch_size)
        self.skips_last = whole > 0 < rest < max(2, job.ranks.count)
        self.steps_per_epoch = whole + (rest > 0 and not self.skips_last) if whole else 1
        plan = StagePlan(stage.name, index, len(stages), stage.settings.epochs, self.steps_per_epoch, self.budget_s)
        job.reporter.stage(plan)

    def run(self, stop_requested: Callable[[], int]) -> None:
        try:
            ended = self.progress.epoch > 0 and (self._over() or self._exhausted()) and not self.progress.batch
            while not ended:
                ended = self._epoch(stop_requested)
        except NumericalError:
            self._keep()
            raise

    def _joined(self, objective: Objective) -> Loss:
        set_trainable(self.job.model, objective)  # what is frozen has no gradients to average
        return self.job.ranks.loss(objective)

    def _update_elapsed(self, began: float, done: float, stop: int = 0) -> int:
        """Time spent in the stage, `done` of it before `began`; whether to stop (0: no). The same for all ranks."""
        self.progress.elapsed, stop = self.job.ranks.agree(done + time.monotonic() - began, stop)
        return stop

    def _epoch(self, stop_requested: Callable[[], int]) -> bool:
        """Train, evaluate where that is due, save; whether the stage has ended."""
        self.job.threads.adjust()
        progress, began, done = self.progress, time.monotonic(), self.progress.elapsed
        earlier = progress.designs  # of this epoch, before it was stopped
        sums, designs = self.train_epoch(stop_requested, began, done)
        self._update_elapsed(began, done)
        seconds = max(progress.elapsed - done, 1e-3)  # some clocks tick every 16 ms
        progress.epoch += 1
        progress.batch, progress.designs, progress.sums = 0, 0, {}
        row = {
            "stage": self.stage.name,
            "epoch": progress.epoch,
            "step": progress.step,
            "seconds": round(seconds, 3),
            "designs_per_s": round((designs - earlier) / seconds, 1),
            "lr": progress.rate,
            **{f"train_{k}": v for k, v in sums.items()},
        }
        due = progress.epoch % self.settings.eval_every == 0 or self._over()
        improved = due and self._evaluate(row)
        progress.rows.append(row)
        self._update_elapsed(began, done)
        ended = due and (self._over() or self._exhausted())  # never without having been evaluated
        if ended or time.monotonic() - self.saved > SAVE_EVERY_S:
            self._save()
        self.job.reporter.epoch(row, improved)
        return ended

    # --- one epoch ----------------------------------------------------------------------------------------------------

    def train_epoch(
        self, stop_requested: Callable[[], int] = never, began: float | None = None, done: float = 0.0
    ) -> tuple[dict[str, float], int]:
        """One pass over the training designs (or what is left of it); returns mean terms and how many designs."""
        job, progress = self.job, self.progress
        began = time.monotonic() if began is None else began
        order = generator(job.seed, "order", self.index, progress.epoch)
        mine = float(job.ranks.writes)  # rank 0 goes on with the sums of all
        sums = {
            name: torch.tensor(mine * value, dtype=torch.float64, device=job.device)
            for name, value in progress.sums.items()
        }
        designs = progress.designs
        multiple = len(self.workers) > 1
        set_trainable(job.model, self.workers[0].objective)
        for rows in epoch_rows(self.designs.train, self.settings.batch_size, order, self.skips_last, progress.batch):
            batch = self.designs.batch(rows[job.ranks.rows(len(rows))], job.device)
            for worker, loss in zip(self.workers, self.losses, strict=True):
                if multiple:
                    set_trainable(job.model, worker.objective)
                for _ in range(worker.objective.repeat):
                    self._step(worker, loss, batch, len(rows), sums)
            designs += len(rows)
            progress.batch += 1
            job.reporter.step(progress.epoch, progress.batch)
            if code := self._update_elapsed(began, done, stop_requested()):
                progress.sums, progress.designs = job.ranks.totals(sums), designs
                self._save()
                job.ranks.wait()
                raise Stopped(code)
            if self._out_of_time():
                break
        return {k: v / max(designs, 1) for k, v in job.ranks.totals(sums).items()}, designs

    def _step(self, worker: Worker, loss: Loss, batch: Batch, whole: int, sums: dict[str, Tensor]) -> None:
        """One optimizer step of an objective, on this rank's rows of a batch of `whole`."""
        progress, ranks, objective = self.progress, self.job.ranks, worker.objective
        done = progress.steps.get(objective.name, 0)
        progress.rate = learning_rate(
            worker.settings(self.settings), self.settings, done, self._fraction(), progress.plateau_scale
        )
        for group in worker.optimizer.param_groups:
            group["lr"] = progress.rate
        # Dropout knows only torch's global generator: seeded by the step, it has no state that would have to be saved.
        which = (self.index, progress.step) if ranks.writes else (self.index, progress.step, ranks.index)
        torch.manual_seed(generator(self.job.seed, "step", *which).initial_seed())
        step = ranks.step(self.rng, whole, self.settings, progress.epoch, done)
        with autocast(self.job):
            losses = loss(batch, step)
        worker.optimizer.zero_grad(set_to_none=True)
        ranks.backward(losses.total, len(batch), step)
        norm = nn.utils.clip_grad_norm_(objective.parameters(), worker.settings(self.settings).grad_clip)
        if self.job.device.type == "cpu" or done % CHECK_EVERY == 0:
            self._guard(losses.total, norm, losses.terms)
        worker.optimizer.step()
        if worker.average is not None:
            worker.average.update()
        progress.steps[objective.name] = done + 1
        for name, value in {objective.name: losses.total, **losses.terms}.items():
            term = value.detach().double() * len(batch) / objective.repeat
            sums[name] = sums[name] + term if name in sums else term

    def _guard(self, total: Tensor, norm: Tensor, terms: dict[str, Tensor]) -> None:
        # the norm is that of all ranks, and a loss that is not finite shows in it; alone there is no need to rely on it
        if torch.isfinite(norm) and (self.job.ranks.count > 1 or torch.isfinite(total)):
            return
        shown = ", ".join(f"{k} {v.item():.4g}" for k, v in terms.items())
        raise Diverged(
            f"{self.stage.name}, epoch {self.progress.epoch + 1}, step {self.progress.step}: "
            f"the loss is {total.item():.4g} and its gradient's norm {norm.item():.4g} ({shown})",
            hint=f"the last good weights are kept in {self.job.folder}; try a smaller training.lr",
        )

    def _fraction(self) -> float:
        """How far the stage is, in [0, 1]: by time where it has a budget, else by steps."""
        if self.budget_s is not None:
            return self.progress.elapsed / self.budget_s
        per_batch = sum(o.repeat for o in self.stage.objectives)
        return self.progress.step / (self.settings.epochs * self.steps_per_epoch * per_batch)

    def _over(self) -> bool:
        if self.budget_s is not None:
            return self.progress.elapsed >= self.budget_s
        return self.progress.epoch >= self.settings.epochs

    def _out_of_time(self) -> bool:
        return self.budget_s is not None and self._over()

    def _exhausted(self) -> bool:
        return self.settings.early_stop is not None and self.progress.stale >= self.settings.early_stop

    # --- evaluation and saving ----------------------------------------------------------------------------------------

    def _evaluate(self, row: dict) -> bool:
        """Fill `row` with validation terms; keep the weights if they are the best so far."""
        job, progress = self.job, self.progress
        with ExitStack() as averaged:
            for worker in self.workers:
                if worker.average is not None:
                    averaged.enter_context(worker.average.applied())
            terms = validate(job, self.stage, self.designs, progress.epoch)
            row.update({f"val_{k}": v for k, v in terms.items()})
            if job.ranks.writes:
                self.last = Snapshot(job.model, self.stage.name, progress.epoch, terms["total"])
        improved = terms["total"] < progress.best
        if improved:
            progress.best, progress.best_epoch = terms["total"], progress.epoch
            progress.stale = progress.since_drop = 0
            self.best = self.last
        else:
            progress.stale += 1
            progress.since_drop += 1
        if on_plateau(self.settings) and progress.since_drop > self.settings.patience:
            progress.plateau_scale *= self.settings.factor
            progress.since_drop = 0
        return improved

    def _save(self) -> None:
        """Weights first, then the state that counts on them: a run killed in between repeats what it had done."""
        if not self.job.ranks.writes:
            return
        self._keep()
        folder = self.job.folder
        save_state(folder / "state.safetensors", self.progress, self.job.model, self.workers, self.rng)
        self.saved = time.monotonic()

    def _keep(self) -> None:
        """What evaluations have found so far."""
        if not self.job.ranks.writes:
            return
        folder = self.job.folder
        for name, snapshot in (("best", self.best), ("last", self.last)):
            if snapshot is not None:
                snapshot.save(folder / f"{name}.safetensors")
        self.best = self.last = None
        write_metrics(folder / "metrics.csv", self.progress.rows)


def autocast(job: TrainingJob) -> AbstractContextManager:
    """Where the job asks for it, convolutions and products of the networks in bfloat16.

    Codes and maps come back in float32, and so are all distributions; the Gaussian algebra and the flow leave it.
    """
    return torch.autocast(job.device.type, dtype=torch.bfloat16) if job.autocast else nullcontext()
