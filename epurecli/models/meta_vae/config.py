"""What a Meta-VAE config may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from epurecli.config.latent import ElboStage, LatentModelConfig, LatentRunConfig, MaskedStage
from epurecli.config.schema import Claim, PathsConfig, RunSettings, with_shares

Width = Annotated[int, Field(ge=1)]
STAGE1_SHARE = 0.35  # of the time that both stages have


class MetaModelConfig(LatentModelConfig):
    """The keys of docs/plan.md (Meta-VAE), the widths that it outlines, and the patch size."""

    type: Literal["meta_vae"]
    channels: Literal[1] = 1  # per component
    latent_dim_meta: Annotated[int, Field(ge=1)] = 32
    component_latent_dim: Annotated[int, Field(ge=1)] = 4  # of each marginal VAE
    marginal_widths: Annotated[tuple[Width, ...], Field(min_length=1)] = (64, 48, 32, 24, 16)  # coarsest first
    backbone_widths: Annotated[tuple[Width, ...], Field(min_length=1)] = (24, 48, 96, 128)  # finest first
    patch_size: Literal[1, 2, 4] = 1
    marginal_vae_paths: tuple[Path, ...] | None = None  # decoders of one's own, one file a component: no stage 1

    @model_validator(mode="after")
    def _grids_exist(self) -> MetaModelConfig:
        for name, halvings in (
            ("marginal_widths", len(self.marginal_widths) - 1),
            ("backbone_widths", len(self.backbone_widths)),
        ):
            shrink = self.patch_size * 2**halvings
            if self.image_size[0] % shrink or self.image_size[1] % shrink:
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} widths, which with patch_size {self.patch_size} reduces an "
                    f"image {shrink} times, but image_size {self.image_size[0]}x{self.image_size[1]} is no "
                    "multiple of it"
                )
        return self


class MetaTraining(RunSettings):
    """Two stages: the marginal VAEs, then the Meta-VAE over their frozen decoders."""

    stage1: ElboStage = ElboStage(epochs=50, batch_size=64, lr=1e-3, share=STAGE1_SHARE)
    stage2: MaskedStage = MaskedStage(epochs=200, batch_size=16, lr=1e-4, share=1 - STAGE1_SHARE)

    @model_validator(mode="before")
    @classmethod
    def _shares(cls, values: Any) -> Any:
        return with_shares(values, {"stage1": STAGE1_SHARE, "stage2": 1 - STAGE1_SHARE})

    @field_validator("stage2")
    @classmethod
    def _batch_statistics(cls, stage: MaskedStage) -> MaskedStage:
        if stage.batch_size < 2:
            raise ValueError("batch_size must be at least 2: BatchNorm needs more than one design")
        return stage


class MetaPaths(PathsConfig):
    """`pretrained_dir` is the folder within the run where stage 1 leaves its decoders, one file a component, for
    `marginal_vae_paths`."""

    pretrained_dir: Path | None = None

    @field_validator("pretrained_dir")
    @classmethod
    def _within_the_run(cls, folder: Path | None) -> Path | None:
        if folder is not None and (folder.is_absolute() or ".." in folder.parts or not folder.parts):
            raise ValueError("names a folder within the run's own, such as pretrained; no run overwrites another's")
        return folder


class MetaVAEConfig(LatentRunConfig):
    """A whole Meta-VAE run."""

    CLAIM = Claim(
        total=(4.0, 4.5),
        trainable=(3.7, 4.0),
        frozen=(0.36, 0.6),
        text="4-4.5 M (3.7-4 M trainable, 0.36-0.6 M frozen)",
    )

    model: MetaModelConfig
    training: MetaTraining = MetaTraining()
    paths: MetaPaths

    @model_validator(mode="after")
    def _a_file_for_each_component(self) -> MetaVAEConfig:
        paths, names = self.model.marginal_vae_paths, self.data.component_dirs
        if paths is not None and len(paths) != len(names):
            raise ValueError(
                f"model.marginal_vae_paths has {len(paths)} files for {len(names)} components ({', '.join(names)}); "
                f"give one file a component, in that order, or leave it out to train them in stage 1"
            )
        return self
