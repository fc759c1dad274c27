"""Training throughput: this project's loop against the plain way.

The plain way is what a first script does: a torch Dataset that opens the PNGs with PIL, a DataLoader, an unfused AdamW
and `loss.item()` in every step. Both train the same model on the same designs, alternately, in one process.

    python tests/bench/bench_train.py [--config vae_toy] [--count 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from epurecli.config import RunConfig, load_config
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.describe import infer_config
from epurecli.data.toy import make_toy
from epurecli.models.registry import build, schema_of
from epurecli.nn.step import Step
from epurecli.training.job import TrainingJob
from epurecli.training.stage import StageLoop
from epurecli.training.state import Progress
from epurecli.types import Batch


class Folder(torch.utils.data.Dataset):
    """One design at a time, decoded when asked for."""

    def __init__(self, root: Path, components: tuple[str, ...]) -> None:
        self.root, self.components = root, components
        with (root / "performances.csv").open() as file:
            self.rows = [row for row in csv.DictReader(file) if row["train"] == "True"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        row, images = self.rows[index], []
        for component in self.components:
            with Image.open(self.root / component / f"{row['matching']}_{component}.png") as image:
                images.append(np.asarray(image.convert("L"), np.float32) / 255)
        condition = [(float(row[name]) - 50) / 10 for name in ("width_px", "height_px")]
        return torch.from_numpy(np.stack(images)), torch.tensor(condition)


def plain_epoch(config: RunConfig, root: Path, workers: int) -> float:
    """Designs per second of one epoch, the model built beforehand."""
    torch.manual_seed(0)
    model = build(config)
    objective = model.stages()[0].objectives[0]
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-3)
    folder = Folder(root, config.data.component_dirs)
    loader = torch.utils.data.DataLoader(folder, config.training.batch_size, shuffle=True, num_workers=workers)
    step, model = Step(torch.Generator().manual_seed(0), config.training, 1), model.train()
    began = time.perf_counter()
    for image, condition in loader:
        losses = objective.loss(Batch(image, condition), step)
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.total.item()
    return len(folder) / (time.perf_counter() - began)


def our_epoch(config: RunConfig, dataset: Dataset) -> float:
    torch.manual_seed(0)
    model = build(config).to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(model, dataset, Path(folder), 0, torch.device("cpu"))
        loop = StageLoop(job, model.stages(), 0, Progress())
        began = time.perf_counter()
        loop.train_epoch()
        return len(dataset.train) / (time.perf_counter() - began)


def data_only(config: RunConfig, root: Path, dataset: Dataset) -> tuple[float, float]:
    """Seconds per 1,000 designs that the data costs, the plain way and ours."""
    from epurecli.data.loader import epoch_batches

    folder = Folder(root, config.data.component_dirs)
    began = time.perf_counter()
    for _ in torch.utils.data.DataLoader(folder, config.training.batch_size, shuffle=True):
        pass
    plain = time.perf_counter() - began
    began = time.perf_counter()
    for _ in epoch_batches(dataset, dataset.train, config.training.batch_size, torch.Generator().manual_seed(0)):
        pass
    return plain / len(folder) * 1000, (time.perf_counter() - began) / len(dataset.train) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="vae_toy")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="DataLoader processes of the plain way")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "tyres"
        make_toy(root, options.count, 0)
        section = infer_config(root).model_dump(mode="json")
        config = load_config(options.config, schema_of, sections={"data": section})
        cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dataset = open_dataset(config.data, cache_dir=cache)
        our_epoch(config, dataset)  # warm-up
        pairs = [
            (our_epoch(config, dataset), plain_epoch(config, root, options.workers)) for _ in range(options.rounds)
        ]
        plain_data, our_data = data_only(config, root, dataset)
    threads = torch.get_num_threads()
    print(f"{options.config}, {options.count} designs, batch {config.training.batch_size}, {threads} threads")
    print(f"  this loop  {median(a for a, _ in pairs):8.0f} designs/s")
    print(f"  plain way  {median(b for _, b in pairs):8.0f} designs/s  (DataLoader, {options.workers} workers)")
    print(f"  ratio      {median(a / b for a, b in pairs):8.2f}")
    print(f"  data alone, seconds per 1,000 designs: plain {plain_data:.3f}, this loop {our_data:.3f}")


if __name__ == "__main__":
    main()
