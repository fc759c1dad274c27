"""THE training loop: stages x epochs x batches x objectives. Models say what to train; nothing here knows one.

Randomness: the data order of an epoch comes from (seed, stage, epoch) alone, dropout from (seed, stage, step); masks,
dropped conditions and latent noise from one generator whose state is saved. Losses are gathered as tensors and read
once per epoch, so a GPU is not stalled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from epurecli.checkpoint import load_weights, save_tensors, save_weights, update_run
from epurecli.config.schema import StageConfig
from epurecli.data.loader import epoch_rows
from epurecli.errors import Diverged, NumericalError
from epurecli.models.base import Loss, Objective, Stage
from epurecli.nn.shard import Shard
from epurecli.training.ema import Average
from epurecli.training.encoded import Encoded
from epurecli.training.metrics import write_metrics
from epurecli.training.run import Run
from epurecli.training.schedule import build_optimizer, learning_rate, on_plateau
from epurecli.training.state import Progress, Snapshot, generator, load_progress, restore, save_state
from epurecli.training.validation import validate
from epurecli.types import Batch, Clock

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


def train(
    run: Run,
    *,
    resume: bool = False,
    only_stage: int | None = None,
    stop_requested: Callable[[], int] = never,
) -> None:
    """Train all stages, or one of them; leaves best.safetensors and last.safetensors in the run folder.

    A run is finished, and found by sampling, once its last stage is.

    Raises:
        NumericalError: a loss or gradient is not finite; the last good checkpoints are kept.
        Stopped: `stop_requested` said so; the state is saved and `resume` continues from it.
    """
    model = run.model.to(run.device, memory_format=torch.channels_last)
    run.ranks.prepare(model)
    stages = model.stages()
    progress, saved = Progress(stage=only_stage or 0), None
    if resume:
        progress, *saved = load_progress(run.folder / "state.safetensors")
    end = len(stages) if only_stage is None else only_stage + 1
    for index in range(progress.stage, end):
        if index != progress.stage:
            progress = Progress(stage=index, rows=progress.rows)
        stage = stages[index]
        loop = StageLoop(run, stage, index, len(stages), progress, saved)
        saved = None
        with torch.random.fork_rng([run.device] if run.device.type == "cuda" else []):
            loop.run(stop_requested)
        run.ranks.wait()  # for the file
        load_weights(model, run.folder / "best.safetensors")
        if not run.ranks.writes:
            continue
        if index + 1 < len(stages):
            save_weights(
                run.folder / f"{stage.name}.safetensors",
                model,
                stage=stage.name,
                epoch=progress.best_epoch,
                metric=progress.best,
            )
        for path, (tensors, facts) in model.stage_files(stage.name).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(path, tensors, facts)
    if run.ranks.writes:
        update_run(run.folder, finished=end == len(stages), best=progress.best, best_epoch=progress.best_epoch)
    run.ranks.wait()


class StageLoop:
    """One stage: its optimizers, average and generator, and the epochs over them."""

    def __init__(
        self,
        run: Run,
        stage: Stage,
        index: int,
        count: int,
        progress: Progress,
        saved: tuple[dict[str, Tensor], int] | None = None,
    ) -> None:
        self.run_, self.stage, self.index, self.progress = run, stage, index, progress
        self.settings: StageConfig = stage.settings
        self.optimizers = [build_optimizer(o, stage.settings) for o in stage.objectives]
        trained = [p for o in stage.objectives for p in o.parameters()]
        decay = stage.settings.ema_decay
        self.average = Average(trained, decay) if decay is not None else None
        self.rng = generator(run.seed, "noise", index, device=run.device)
        if saved is not None:
            restore(*saved, run.model, self.optimizers, self.average, self.rng)
        self.best: Snapshot | None = None  # not yet saved
        self.last: Snapshot | None = None
        self.saved = time.monotonic()
        began = time.monotonic()
        self.designs = run.dataset if stage.encode is None else Encoded(run, stage)
        if saved is None:  # else that time was counted when it was first spent
            self._look_at_the_clock(began, progress.elapsed)
        self.losses = [self._join(objective) for objective in stage.objectives]
        # a last batch of one design has no moments, and every rank needs a design
        whole, rest = divmod(len(self.designs.train), stage.settings.batch_size)
        self.skips_last = whole > 0 < rest < max(2, run.ranks.count)
        self.steps_per_epoch = whole + (rest > 0 and not self.skips_last) if whole else 1
        run.reporter.stage(stage.name, index, count, stage.settings, self.steps_per_epoch)

    def run(self, stop_requested: Callable[[], int]) -> None:
        try:
            ended = self.progress.epoch > 0 and (self._over() or self._exhausted()) and not self.progress.batch
            while not ended:
                ended = self._epoch(stop_requested)
        except NumericalError:
            self._keep()
            raise

    def _join(self, objective: Objective) -> Loss:
        arm(self.run_.model, objective)  # what is frozen has no gradients to average
        return self.run_.ranks.loss(objective)

    def _look_at_the_clock(self, began: float, done: float, stop: int = 0) -> int:
        """Time spent in the stage, `done` of it before `began`; whether to stop (0: no). The same for all ranks."""
        self.progress.elapsed, stop = self.run_.ranks.agree(done + time.monotonic() - began, stop)
        return stop

    def _epoch(self, stop_requested: Callable[[], int]) -> bool:
        """Train, evaluate where that is due, save; whether the stage has ended."""
        progress, began, done = self.progress, time.monotonic(), self.progress.elapsed
        earlier = progress.designs  # of this epoch, before it was stopped
        sums, designs = self.train_epoch(stop_requested, began, done)
        self._look_at_the_clock(began, done)
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
        self._look_at_the_clock(began, done)
        ended = due and (self._over() or self._exhausted())  # never without having been evaluated
        if ended or time.monotonic() - self.saved > SAVE_EVERY_S:
            self._save()
        self.run_.reporter.epoch(row, improved)
        return ended

    # --- one epoch ----------------------------------------------------------------------------------------------------

    def train_epoch(
        self, stop_requested: Callable[[], int] = never, began: float | None = None, done: float = 0.0
    ) -> tuple[dict[str, float], int]:
        """One pass over the training designs (or what is left of it); returns mean terms and how many designs."""
        run, progress = self.run_, self.progress
        began = time.monotonic() if began is None else began
        order = generator(run.seed, "order", self.index, progress.epoch)
        mine = float(run.ranks.writes)  # rank 0 goes on with the sums of all
        sums = {
            name: torch.tensor(mine * value, dtype=torch.float64, device=run.device)
            for name, value in progress.sums.items()
        }
        designs = progress.designs
        multiple = len(self.stage.objectives) > 1
        arm(run.model, self.stage.objectives[0])
        for rows in epoch_rows(self.designs.train, self.settings.batch_size, order, self.skips_last, progress.batch):
            batch = self.designs.batch(rows[run.ranks.rows(len(rows))], run.device)
            shard = run.ranks.shard(self.rng, len(rows))
            for objective, optimizer, loss in zip(self.stage.objectives, self.optimizers, self.losses, strict=True):
                if multiple:
                    arm(run.model, objective)
                for _ in range(objective.repeat):
                    self._step(objective, optimizer, loss, batch, shard, sums)
            designs += len(rows)
            progress.batch += 1
            run.reporter.step(progress.epoch, progress.batch)
            if code := self._look_at_the_clock(began, done, stop_requested()):
                progress.sums, progress.designs = run.ranks.totals(sums), designs
                self._save()
                run.ranks.wait()
                raise Stopped(code)
            if self._out_of_time():
                break
        return {k: v / max(designs, 1) for k, v in run.ranks.totals(sums).items()}, designs

    def _step(
        self,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        batch: Batch,
        shard: Shard,
        sums: dict[str, Tensor],
    ) -> None:
        progress, ranks = self.progress, self.run_.ranks
        progress.rate = learning_rate(self.settings, progress.step, self._share(), progress.plateau_scale)
        for group in optimizer.param_groups:
            group["lr"] = progress.rate
        # Dropout knows only torch's global generator: seeded by the step, it has no state that would have to be saved.
        which = (self.index, progress.step) if ranks.writes else (self.index, progress.step, ranks.index)
        torch.manual_seed(generator(self.run_.seed, "step", *which).initial_seed())
        with autocast(self.run_):
            losses = loss(batch, self._clock(), shard)
        optimizer.zero_grad(set_to_none=True)
        ranks.backward(losses.total, len(batch), shard)
        norm = nn.utils.clip_grad_norm_(objective.parameters(), self.settings.grad_clip)
        if self.run_.device.type == "cpu" or progress.step % CHECK_EVERY == 0:
            self._guard(losses.total, norm, losses.terms)
        optimizer.step()
        if self.average is not None:
            self.average.update()
        progress.step += 1
        for name, value in {objective.name: losses.total, **losses.terms}.items():
            term = value.detach().double() * len(batch) / objective.repeat
            sums[name] = sums[name] + term if name in sums else term

    def _guard(self, total: Tensor, norm: Tensor, terms: dict[str, Tensor]) -> None:
        # the norm is that of all ranks, and a loss that is not finite shows in it; alone there is no need to rely on it
        if torch.isfinite(norm) and (self.run_.ranks.count > 1 or torch.isfinite(total)):
            return
        shown = ", ".join(f"{k} {v.item():.4g}" for k, v in terms.items())
        raise Diverged(
            f"{self.stage.name}, epoch {self.progress.epoch + 1}, step {self.progress.step}: "
            f"the loss is {total.item():.4g} and its gradient's norm {norm.item():.4g} ({shown})",
            hint=f"the last good weights are kept in {self.run_.folder}; try a smaller training.lr",
        )

    def _clock(self) -> Clock:
        return Clock(self.progress.epoch, self.settings.epochs, self.progress.step)

    def _share(self) -> float:
        """How far the stage is, in [0, 1]: by time where it has a budget, else by steps."""
        if self.settings.budget_s is not None:
            return self.progress.elapsed / self.settings.budget_s
        per_batch = sum(o.repeat for o in self.stage.objectives)
        return self.progress.step / (self.settings.epochs * self.steps_per_epoch * per_batch)

    def _over(self) -> bool:
        if self.settings.budget_s is not None:
            return self.progress.elapsed >= self.settings.budget_s
        return self.progress.epoch >= self.settings.epochs

    def _out_of_time(self) -> bool:
        return self.settings.budget_s is not None and self._over()

    def _exhausted(self) -> bool:
        return self.settings.early_stop is not None and self.progress.stale >= self.settings.early_stop

    # --- evaluation and saving ----------------------------------------------------------------------------------------

    def _evaluate(self, row: dict) -> bool:
        """Fill `row` with validation terms; keep the weights if they are the best so far."""
        run, progress = self.run_, self.progress
        with self.average.applied() if self.average else nullcontext():
            terms = validate(run, self.stage, self.designs, self._clock())
            row.update({f"val_{k}": v for k, v in terms.items()})
            if run.ranks.writes:
                self.last = Snapshot(run.model, self.stage.name, progress.epoch, terms["total"])
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
        if not self.run_.ranks.writes:
            return
        self._keep()
        folder = self.run_.folder
        save_state(
            folder / "state.safetensors", self.progress, self.run_.model, self.optimizers, self.average, self.rng
        )
        self.saved = time.monotonic()

    def _keep(self) -> None:
        """What evaluations have found so far."""
        if not self.run_.ranks.writes:
            return
        folder = self.run_.folder
        for name, snapshot in (("best", self.best), ("last", self.last)):
            if snapshot is not None:
                snapshot.save(folder / f"{name}.safetensors")
        self.best = self.last = None
        write_metrics(folder / "metrics.csv", self.progress.rows)


def arm(model: nn.Module, objective: Objective) -> None:
    """Freeze everything (weights and, through eval(), running statistics), then free what the objective trains."""
    model.requires_grad_(False).eval()
    for module in objective.trains:
        module.requires_grad_(True).train()


def autocast(run: Run) -> AbstractContextManager:
    """Where the run asks for it, convolutions and products of the networks in bfloat16.

    Codes and maps come back in float32, and so are all distributions; the Gaussian algebra and the flow leave it.
    """
    return torch.autocast(run.device.type, dtype=torch.bfloat16) if run.autocast else nullcontext()


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether `training.precision` means bfloat16 there; `auto` takes it where the processor multiplies it itself."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
