"""MoTModule: the LightningModule. Steps, the weighted sum of losses, the optimizer and averaged weights.

Knows batches and steps; leaves logging, samples and checkpoints to callbacks, and media to codecs and data.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from mot_lightning.backbone import BackboneSettings
from mot_lightning.backbone.moe import Report, experts_of
from mot_lightning.codecs import Codec
from mot_lightning.codecs.base import check_codecs
from mot_lightning.generation import GenerationSettings, Trained, generate
from mot_lightning.generation.media import Document, Prompt, decode, encode, read_prompt
from mot_lightning.loading import build, read_checkpoint
from mot_lightning.model import Losses, MixtureOfTransformers, misfit
from mot_lightning.objectives import Objective
from mot_lightning.optimization import Optimization
from mot_lightning.seeds import generator_for, mix
from mot_lightning.sequence import InterleavedBatch, Tokens
from mot_lightning.sharding import shard, whole

VALIDATION = 1 << 40  # where the seeds of validation noise begin: the same noise at every validation


@dataclass
class Modality:
    """One modality of an experiment.

    Attributes:
        codec: raw media <-> tokens.
        objective: how its tokens are learned and sampled.
        weight: of its loss in the sum.
    """

    codec: Codec
    objective: Objective
    weight: float = 1.0


class MoTModule(LightningModule):
    """A Mixture-of-Transformers experiment: every modality with its codec, objective and weight.

    The averaged weights are a second set beside the trained ones, `average`: nothing is ever swapped, so a
    checkpoint written at any moment holds both as they are.

    Args:
        modalities: codec, objective and loss weight of each.
        control: the discrete modality that owns the control tokens.
        backbone: size, shape and towers.
        optimization: AdamW, its schedule and weight averaging.
        seed: of the initial weights and all noise: step, rank and seed settle every draw.
        reduction: what a modality's loss, before its weight, is the mean of. "token" is all its targets, so that a long
            segment counts for more. "segment" takes the mean of each segment first (a control token is one of its
            own). "batch" divides by the targets of all modalities: a modality counts by its share of the batch. Batches
            that `trainer.accumulate_grad_batches` puts together count alike, whatever is in them: where that is not
            wanted, raise `data.batch_size` or the number of ranks, whose targets are counted together.
    """

    codecs: Mapping[str, Codec]

    def __init__(
        self,
        modalities: dict[str, Modality],
        control: str,
        backbone: BackboneSettings = BackboneSettings(),  # noqa: B008 (frozen)
        optimization: Optimization = Optimization(),  # noqa: B008 (frozen)
        seed: int = 0,
        reduction: Literal["token", "segment", "batch"] = "token",
    ) -> None:
        super().__init__()
        if not modalities:
            raise ValueError("model.modalities is empty, wanted at least one modality")
        torch.manual_seed(mix(seed))
        self.seed, self.optimization, self.reduction = seed, optimization, reduction
        modalities = {name: modalities[name] for name in sorted(modalities)}
        for name, modality in modalities.items():
            if not 0 <= modality.weight < math.inf:
                raise ValueError(f"model.modalities.{name}.weight is {modality.weight}, wanted a number of 0 or more")
        codecs = {name: modality.codec for name, modality in modalities.items()}
        self.codecs = nn.ModuleDict(codecs)  # type: ignore[assignment]
        tokens = {
            name: Tokens(
                c.vocab_size,
                c.latent_dim,
                c.length,
                c.grid,
                c.patch_size,
                c.max_length,
                None if c.codebook is None else (len(c.codebook), c.codebook.shape[1]),
            )
            for name, c in codecs.items()
        }
        for name, modality in modalities.items():
            if not modality.objective.fits(tokens[name]):
                raise ValueError(misfit(name, modality.objective, tokens[name]))
        self.model = MixtureOfTransformers({n: m.objective for n, m in modalities.items()}, tokens, control, backbone)
        self.experts = experts_of(self.model)  # empty, where no tower has any
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.weights = {name: modality.weight for name, modality in modalities.items()}
        self.config: dict[str, Any] = {}  # what the command line built this from; travels in the checkpoint
        self.trained: Trained | None = None  # known once it is; travels in the checkpoint
        self._present: dict[str, bool] = dict.fromkeys(modalities, False)
        self._sizes: dict[str, Tensor | None] = {}  # asked for once the codecs have learned
        self._evaluation = ExitStack()  # what holds from its first batch to its last

    @property
    def data(self) -> Any:
        """The datamodule, which Lightning knows of only once it runs."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @property
    def modalities(self) -> list[str]:
        return list(self.weights)

    def setup(self, stage: str) -> None:
        data = self.data
        if stage == "fit":  # a checkpoint, where there is one, restores what its codecs learned after this
            for name, codec in self.codecs.items():
                codec.fit(data.media(name, "train"))
            self.meet()
        # they stay on the host, where no rank could send them to another
        self._ddp_params_and_buffers_to_ignore = [name for name in self.state_dict() if name.startswith("codecs.")]
        self._sizes.clear()
        data.connect(dict(self.codecs), self.model.grammar)
        if stage == "fit":
            self.trained = Trained(data.row_length, data.alone)

    def meet(self) -> None:
        """Let objectives know what codecs have learned that ids stand for."""
        for model in (self.model, self.average):
            for name, objective in model.objectives.items():
                objective.meet(self.codecs[name].codebook)

    def configure_model(self) -> None:
        """Shard both sets of weights where the strategy has a mesh for it."""
        if self.device_mesh is not None:
            for model in (self.model, self.average):
                shard(model, self.device_mesh["data_parallel"])

    # steps

    def sums(self, losses: dict[str, Losses], batch: InterleavedBatch) -> Tensor:
        """(m, 5) for each modality: sum of losses, their count; the same of content alone; bytes that it writes."""
        rows = []
        for name in self.modalities:
            part = batch.parts[name]
            loss, weight, content = losses[name]
            own, written = weight * content, self._written(name, part.target)
            if self.reduction == "segment":
                weight = weight * part.share
            rows.append(
                torch.stack([(loss * weight).sum(), weight.sum(), (loss * own).sum(), own.sum(), (written * own).sum()])
            )
        return torch.stack(rows)

    def _written(self, name: str, target: Tensor) -> Tensor:
        """Bytes that each target writes, (t,): none, where a medium is no bytes and for stop and control ids."""
        if name not in self._sizes:
            sizes = self.codecs[name].sizes()
            if sizes is not None:
                sizes = F.pad(sizes, (0, self.model.grammar.ids(name) - len(sizes))).to(target.device)
            self._sizes[name] = sizes
        found = self._sizes[name]
        return target.new_zeros(()) if found is None else found[target]

    def weighted(self, sums: Tensor) -> Tensor:
        """Sum over modalities of weight * (sum of losses / count), the count clamped for what is absent."""
        counts = sums[:, 1].sum() if self.reduction == "batch" else sums[:, 1]
        means = sums[:, 0] / counts.clamp(min=1)
        return sum(
            (w * mean for w, mean in zip(self.weights.values(), means.unbind(), strict=True)), means.new_zeros(())
        )

    def training_step(self, batch: InterleavedBatch, batch_idx: int) -> dict[str, Any]:
        place = (self.seed, batch_idx, self.global_rank)  # batch_idx: the data are one endless epoch
        torch.manual_seed(mix(*place, 1))  # dropout: as reproducible as the noise, and apart from it
        sums = self.sums(self.model(batch, generator_for(*place, device=self.device)), batch)
        for name, count in zip(self.model.grammar.groups, batch.layout.counts, strict=True):
            self._present[name] |= count > 0
        # divided by the count over all ranks; the strategy then averages gradients over ranks
        counts = self.trainer.strategy.reduce(sums[:, 1].detach().clone(), reduce_op="sum")
        scaled = torch.stack([sums[:, 0] * self.trainer.world_size, counts], 1)
        taken = {name: mixture.take_report() for name, mixture in self.experts.items()}
        reports: dict[str, Report] = {name: report for name, report in taken.items() if report}
        # experts are routed and balanced among the tokens of one rank
        loss = sum((report.loss for report in reports.values()), start=self.weighted(scaled))
        return {"loss": loss, "sums": sums.detach(), "experts": {n: (*r.visits, r.tokens) for n, r in reports.items()}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """What no token on any rank touched stays as it is: no decay and no momentum moves an absent tower."""
        found = self._present  # known on the host: one rank needs no device sync
        if self.trainer.world_size > 1:
            present = torch.tensor([float(p) for p in found.values()], device=self.device)
            present = self.trainer.strategy.reduce(present, reduce_op="sum")
            found = dict(zip(found, (present > 0).tolist(), strict=True))
        for parameter in self.model.untouched(found):
            parameter.grad = None
        self._present = dict.fromkeys(self._present, False)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """The averaged weights follow within the step: no exception can come between the two."""
        super().optimizer_step(*args, **kwargs)
        self.follow(self.global_step + 1)  # the trainer has not counted this one yet

    def follow(self, n: int) -> None:
        """Move the averaged weights towards the trained ones, after n steps."""
        self.optimization.average(self.average, self.model, n)

    def _evaluate(self, batch: InterleavedBatch, batch_idx: int) -> Tensor:
        generator = generator_for(self.seed, VALIDATION + batch_idx, self.global_rank, device=self.device)
        return self.sums(self.average(batch, generator), batch)

    def on_validation_epoch_start(self) -> None:
        """Weights are gathered once: ranks may have different numbers of batches, and nobody waits for the other."""
        self._evaluation.enter_context(whole(self.average))

    def on_validation_epoch_end(self) -> None:
        self._evaluation.close()

    def on_test_epoch_start(self) -> None:
        self.on_validation_epoch_start()

    def on_test_epoch_end(self) -> None:
        self.on_validation_epoch_end()

    def validation_step(self, batch: InterleavedBatch, batch_idx: int) -> Tensor:
        return self._evaluate(batch, batch_idx)

    def test_step(self, batch: InterleavedBatch, batch_idx: int) -> Tensor:
        return self._evaluate(batch, batch_idx)

    # optimizer

    def configure_optimizers(self) -> Any:
        # Lightning cannot clip gradients that a fused optimizer unscales itself
        fused = "mixed" not in str(self.trainer.precision)
        optimizer, schedule = self.optimization.build(self.model, self.trainer.max_steps, fused)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config
        checkpoint["codecs"] = {name: codec.identity(codec.state_dict()) for name, codec in self.codecs.items()}
        if self.trained is not None:
            checkpoint["trained"] = {"row_length": self.trained.row_length, "alone": list(self.trained.alone)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "state_dict" in checkpoint:  # sharded strategies take it out and load it themselves
            check_codecs(self.codecs, checkpoint)
        self._sizes.clear()
        if known := checkpoint.get("trained"):  # none, in a checkpoint of an earlier version
            before = Trained(known["row_length"], tuple(known["alone"]))
            # a run that goes on has data of its own
            self.trained = before.and_then(self.trained) if self.trained else before

    def guides(self, name: str) -> bool:
        """Whether a modality was learned also without what precedes it, so that guidance means something."""
        return self.trained is None or name in self.trained.alone

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take over a checkpoint's weights and what it says of its training, to generate."""
        self.on_load_checkpoint(checkpoint)
        self.load_state_dict(checkpoint["state_dict"])
        self.config = checkpoint["config"]
        self.eval()

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, allow: Sequence[str] = (), name_or_path: Mapping[str, str | Path] | None = None
    ) -> "MoTModule":
        """The module of a checkpoint, codecs and averaged weights included, ready to generate.

        Args:
            allow: packages whose classes its config may name, besides our own.
            name_or_path: where the pretrained codec of a modality lies, if no longer where it was.

        Raises:
            ConfigError: the file is missing, damaged, or of something else.
            ValueError: another codec lies there.
        """
        checkpoint = read_checkpoint(Path(path), "checkpoint")
        settings = checkpoint["config"]["model"]
        for name, place in (name_or_path or {}).items():
            settings["modalities"][name]["codec"]["init_args"]["name_or_path"] = str(place)
        module = build(cls, settings, allow)
        module.restore(checkpoint)
        return module

    # generation

    def generate(self, prompts: Sequence[Prompt], **settings: Any) -> list[Document]:
        """Continue prompts by the averaged weights.

        Args:
            prompts: each a text, a `Path`, a pair of (modality, media), or a list of these.
            settings: of `GenerationSettings`.

        Returns:
            (modality, media) of each new segment, for each prompt.

        Raises:
            ValueError: a setting or a prompt does not fit the model, or what it was trained on.
        """
        if isinstance(prompts, str):
            raise ValueError(f"prompts is the text {prompts!r}, wanted a list of prompts")
        control, asked = self.model.grammar.control, GenerationSettings(**settings)
        asked.check(self.model.grammar)
        documents = [encode(self.codecs, read_prompt(self.codecs, control, prompt)) for prompt in prompts]
        if self.trained is not None:
            self.trained.check(self.model.grammar, documents, asked)
        return [decode(self.codecs, made) for made in generate(self.average, documents, asked)]
