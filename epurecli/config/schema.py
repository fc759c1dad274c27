"""What a YAML file may say. One class per section; unknown keys are errors; the resolved config is saved with
each run.

A model (`epurecli/models/<name>/config.py`) extends `RunConfig` with its own `model` section, and with its own
`training` and `sampling` sections where it needs them; what models with a latent share is in `latent.py`. A section
holds only the keys that its model reads. Key names are those of docs/plan.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from epurecli.types import MAX_SEED, Mode


def _at_home(path: Path) -> Path:
    """`~` as a shell reads it; else people find a folder of that name, and remove it as a shell reads it."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None


HomePath = Annotated[Path, AfterValidator(_at_home)]


class Section(BaseModel):
    """A frozen part of a config that knows its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


Widths = Annotated[tuple[Annotated[int, Field(ge=4)], ...], Field(min_length=1)]  # filters, finest grid first


def with_shares(values: Any, shares: Mapping[str, float]) -> Any:
    """A training section whose stages, where they say nothing of their share of the time, have these."""
    if not isinstance(values, dict):
        return values
    stages = {s: {"share": share, **values[s]} for s, share in shares.items() if isinstance(values.get(s), dict)}
    return {**values, **stages}


class ToySpec(Section):
    """The built-in toy data set: drawn on demand, never read from disk."""

    count: Annotated[int, Field(ge=10)] = 4000  # designs, 1 in 8 of them for testing
    seed: Seed = 0


class DataConfig(Section):
    """A folder of PNGs with a CSV of conditions, or the built-in toy set (exactly one of `root_dir` and `toy`)."""

    root_dir: HomePath | None = None
    toy: ToySpec | None = None
    condition_csv: HomePath | None = None  # default: <root_dir>/performances.csv
    component_dirs: Annotated[tuple[str, ...], Field(min_length=1)] = ("group_nc", "group_km", "bt", "fpu", "tpc")
    condition_columns: tuple[str, ...] = ("width_px", "height_px")
    prefix_column: str = "matching"
    filename_pattern: str = "{prefix}_{component}.png"
    split_column: str = "train"  # truthy rows train, the others test; or train, val, test
    ink: Literal["auto", "light", "dark", "alpha"] = "auto"  # of the images; auto looks at some of them and says so
    # of all designs, held out to judge where neither a column nor folders say which
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.125
    # of the training designs, held out to choose epochs and rates; the test designs only judge
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    normalized: bool = True  # use <column>_norm where the CSV has it, else standardise with training statistics

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.root_dir is None) == (self.toy is None):
            raise ValueError("give exactly one of root_dir (a folder of designs) and toy (the built-in data set)")
        for name, values in (
            ("component_dirs", self.component_dirs),
            ("condition_columns", self.condition_columns),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names something twice: {', '.join(values)}")
        if self.filename_pattern.count("{prefix}") != 1:
            raise ValueError("filename_pattern must contain {prefix} once")
        return self

    @property
    def csv_path(self) -> Path | None:
        """The conditions file, or None for the toy set."""
        if self.root_dir is None:
            return None
        return self.condition_csv or self.root_dir / "performances.csv"


class ModelConfig(Section):
    """Keys that every model has."""

    type: str
    image_size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (64, 32)  # (height, width)
    cond_dim: Annotated[int, Field(ge=0)] | None = None  # derived from data.condition_columns; stated = checked
    cond_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @field_validator("image_size")
    @classmethod
    def _whole_eighths(cls, size: tuple[int, int]) -> tuple[int, int]:
        if size[0] % 8 or size[1] % 8:
            raise ValueError("height and width must be multiples of 8 (the networks halve them three times)")
        return size


class OptimizerConfig(Section):
    """One optimizer."""

    optimizer: Literal["adam", "adamw"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 2e-4
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    grad_clip: Annotated[float, Field(gt=0)] = 1.0  # largest norm of the gradient of all its parameters


class StageConfig(OptimizerConfig):
    """One stage of training: its schedule, and the optimizer of each objective that brings none of its own."""

    epochs: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=1)] = 128
    scheduler: Literal["constant", "cosine", "plateau", "ReduceLROnPlateau"] = "constant"
    patience: Annotated[int, Field(ge=1)] = 10  # evaluations without progress before `plateau` lowers the rate
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    warmup_steps: Annotated[int, Field(ge=0)] = 0  # linear learning-rate warm-up
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    eval_every: Annotated[int, Field(ge=1)] = 1  # epochs between evaluations on the validation designs
    early_stop: Annotated[int, Field(ge=1)] | None = None  # evaluations without progress before stopping
    share: Annotated[float, Field(gt=0)] = 1.0  # of training.budget_s, in proportion to those of the other stages


class RunSettings(Section):
    """What holds for all stages of a run. A model with several stages adds them to its training section."""

    seed: Seed = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the processor has it
    deterministic: bool = False  # refuse operations whose result could change from run to run
    # train for this many seconds in all instead of for `epochs`, each stage its share; the schedules follow the time
    budget_s: Annotated[float, Field(gt=0)] | None = None


class TrainingConfig(StageConfig, RunSettings):
    """Training in one stage."""


class PathsConfig(Section):
    """Where things go, relative to the working folder."""

    output_dir: HomePath
    samples_dir: HomePath


class InpaintingConfig(Section):
    num_posterior_samples: Annotated[int, Field(ge=1)] = 10


class CrossModalConfig(Section):
    source_component: int | str = 0
    target_component: int | str = 1


class SamplingConfig(Section):
    """Defaults of `epure sample`; every one has a flag."""

    num_samples: Annotated[int, Field(ge=1)] = 100
    batch_sz: Annotated[int, Field(ge=1)] = 16
    mode: Mode = Mode.CONDITIONAL
    crisp: bool = False  # write black-and-white parts (the likeliest component of each pixel) instead of grey means
    inpainting: InpaintingConfig = InpaintingConfig()
    cross_modal: CrossModalConfig = CrossModalConfig()


@dataclass(frozen=True)
class Claim:
    """The size that docs/plan.md states for a model, in millions of parameters (low, high); `total` None: it states
    none."""

    total: tuple[float, float] | None = None
    trainable: tuple[float, float] | None = None
    frozen: tuple[float, float] | None = None
    text: str = ""
    public: int | None = None  # parameters of the public code that the plan names, with its config for EPURE

    def met(self, total: int, trainable: int) -> bool | None:
        """None: nothing was claimed."""
        if self.total is None:
            return None
        pairs = ((self.total, total), (self.trainable, trainable), (self.frozen, total - trainable))
        return all(span is None or span[0] <= count / 1e6 <= span[1] for span, count in pairs)


class RunConfig(Section):
    """A whole YAML file. A model narrows `model`, and `training` and `sampling` where it has keys of its own there."""

    CLAIM: ClassVar[Claim | None] = None

    model: ModelConfig
    data: DataConfig
    training: RunSettings
    paths: PathsConfig
    sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode="after")
    def _sizes_agree(self) -> RunConfig:
        stated, derived = self.model.cond_dim, len(self.data.condition_columns)
        if stated is not None and stated != derived:
            raise ValueError(
                f"model.cond_dim is {stated}, but data.condition_columns names {derived} "
                f"({', '.join(self.data.condition_columns)}); leave cond_dim out to have it derived"
            )
        return self
