"""THE training loop: stages x epochs x batches x objectives. Models say what to train; nothing here knows one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from epurecli.checkpoint import load_tensors, load_weights, save_tensors, save_weights, update_run
from epurecli.models.contract import Finish
from epurecli.nn.step import Step
from epurecli.training.job import TrainingJob
from epurecli.training.memory import peak_memory
from epurecli.training.stage import StageLoop, Stopped, never
from epurecli.training.state import Progress, generator, load_state

__all__ = ["Stopped", "in_bfloat16", "never", "train"]

FINISHING = 512  # validation designs at most that the end of a stage looks at


def train(
    job: TrainingJob,
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
    model = job.model.to(job.device, memory_format=torch.channels_last)
    job.ranks.prepare(model)
    stages = model.stages()
    progress, saved = Progress(stage=only_stage or 0), None
    if resume:
        progress, saved = load_state(job.folder / "state.safetensors")
    end = len(stages) if only_stage is None else only_stage + 1
    for index in range(progress.stage, end):
        if index != progress.stage:
            progress = Progress(stage=index, rows=progress.rows)
        stage = stages[index]
        loop = StageLoop(job, stages, index, progress, saved)
        saved = None
        with torch.random.fork_rng([job.device] if job.device.type == "cuda" else []):
            loop.run(stop_requested)
        job.ranks.wait()  # for the file
        load_weights(model, job.folder / "best.safetensors")
        if stage.finish is not None:
            _finish(job, stage.finish, Step(generator(job.seed, "finish", index, device=job.device), stage.settings))
        if not job.ranks.writes:
            continue
        if index + 1 < len(stages):
            save_weights(
                job.folder / f"{stage.name}.safetensors",
                model,
                stage=stage.name,
                epoch=progress.best_epoch,
                metric=progress.best,
            )
        for name, (tensors, facts) in model.stage_files(stage.name).items():
            path = job.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(path, tensors, facts)
    if job.ranks.writes:
        facts = {"best": progress.best, "best_epoch": progress.best_epoch, "peak_memory": peak_memory(job.device)}
        update_run(job.folder, finished=end == len(stages), **facts)
    job.ranks.wait()


def _finish(job: TrainingJob, finish: Finish, step: Step) -> None:
    """What it sets, in both checkpoints. A run that is killed in between does it again."""
    job.model.eval()
    with torch.no_grad():
        found = finish(job.dataset.batch(job.dataset.validation[:FINISHING], job.device), step)
    for name in ("best", "last") if found and job.ranks.writes else ():
        path = job.folder / f"{name}.safetensors"
        tensors, facts = load_tensors(path)
        save_tensors(path, {**tensors, **found}, facts)


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether `training.precision` means bfloat16 there; `auto` takes it where the processor multiplies it itself."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
