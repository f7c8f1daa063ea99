"""Images as ids of a vector-quantised autoencoder's codes (VQ-VAE, arXiv 1711.00937), as Chameleon's image tokens."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mot_lightning.codecs.autoencoder import Autoencoder, LatentGrid, batched
from mot_lightning.codecs.image import Images, OneImage, one_image
from mot_lightning.errors import require
from mot_lightning.sequence import Ids

QUANTISE_FROM = 0.2  # fraction of the training after which latents are quantised
REPLACE_UNTIL = 0.8  # fraction of the training after which unused codes are no longer replaced
REPLACE_EVERY = 50  # steps between checks for unused codes


class VQ(Autoencoder):
    """Image in [0, 1] <-> ids of the codes nearest to its latents, row by row.

    Training from scratch starts with a plain autoencoder; k-means over its latents then initialises the codes. Unused
    codes are replaced by random latents (Jukebox, arXiv 2005.00341, section 3.1).

    Args:
        shape, downsample, channels, steps: as in `Autoencoder`; the last three apply to training from scratch.
        name_or_path: folder or hub name of a VQModel; null trains a small one.
        vocab_size: number of codes, if trained from scratch.
        latent_channels: size of a code, if trained from scratch.
    """

    classes = ("VQModel",)
    vocab_size: int

    def __init__(
        self,
        shape: tuple[int, int, int],
        name_or_path: str | Path | None = None,
        vocab_size: int = 256,
        latent_channels: int = 4,
        downsample: int = 2,
        channels: int = 32,
        steps: int = 1000,
    ) -> None:
        super().__init__(shape, name_or_path, downsample, channels, steps)
        require("vocab_size", vocab_size, "at least 2", vocab_size >= 2)
        require("latent_channels", latent_channels, "at least 1", latent_channels >= 1)
        self.vocab_size, self.latent_channels = vocab_size, latent_channels
        self.latent_channels = self.load_network()
        self.vocab_size = self.frozen.network.config.num_vq_embeddings

    @property
    def codebook(self) -> Float[Tensor, "vocab_size latent_channels"]:
        return self.frozen.network.quantize.embedding.weight.detach()

    def encode(self, media: OneImage) -> Ids:
        self.check(media)
        return self.ids(media[None])[0]

    @torch.no_grad()
    def ids(self, images: Images) -> Int[Tensor, "b n"]:
        """Images -> ids of each image, row by row."""
        return self._nearest(self.latents(images))

    def _nearest(self, latents: Tensor) -> Tensor:
        return self.frozen.network.quantize(latents)[2][2].view(len(latents), -1)

    @torch.no_grad()
    def decode(self, tokens: Ids) -> OneImage:
        """Ids -> image. Short segments are padded with their last id, long ones are cut."""
        codes = self.frozen.network.quantize.embedding(one_image(tokens, self.length))  # (n, c')
        return self.images(codes.T.reshape(1, -1, *self.latent_size))[0]  # (c, h, w)

    def encoded(self, pixels: Images) -> LatentGrid:
        return self.frozen.network.encode(pixels).latents

    def build(self) -> Any:
        from diffusers import VQModel  # takes seconds

        return VQModel(**self.layers(), latent_channels=self.latent_channels, num_vq_embeddings=self.vocab_size)

    def loss(self, images: Images, done: float, generator: torch.Generator) -> Float[Tensor, ""]:
        pixels = 2 * images - 1
        network = self.frozen.network
        latents = network.encode(pixels).latents
        if done < QUANTISE_FROM:
            return F.mse_loss(network.decode(latents, force_not_quantize=True).sample, pixels)
        decoded = network.decode(latents)
        return F.mse_loss(decoded.sample, pixels) + decoded.commit_loss

    @torch.no_grad()
    def before_step(self, images: Images, step: int, steps: int, generator: torch.Generator) -> None:
        first = int(-(-QUANTISE_FROM * steps // 1))  # the first step that quantises
        if step < first or step > REPLACE_UNTIL * steps or (step - first) % REPLACE_EVERY:
            return
        codes = self.frozen.network.quantize.embedding.weight  # (v, c')
        latents = batched(self.latents, images)  # (b, c', h', w')
        points = latents.permute(0, 2, 3, 1).reshape(-1, codes.shape[1])  # (b h' w', c')
        if step == first and len(points) > len(codes):
            from sklearn.cluster import MiniBatchKMeans  # takes most of a second

            means = MiniBatchKMeans(len(codes), random_state=0, batch_size=4_096, n_init=1).fit(points.cpu().numpy())
            codes.copy_(torch.from_numpy(means.cluster_centers_))
        unused = self._nearest(latents).flatten().bincount(minlength=len(codes)) == 0  # (v,)
        sampled = torch.randint(len(points), (len(codes),), generator=generator, device=points.device)
        codes.copy_(torch.where(unused[:, None], points[sampled], codes))

    @torch.no_grad()
    def quality(self, images: Images) -> dict[str, float]:
        """PSNR in dB, the fraction of codes in use, and the perplexity of codes, their effective number."""
        counts = batched(self.ids, images).flatten().bincount(minlength=self.vocab_size).double()
        probability = counts / counts.sum()
        return {
            **super().quality(images),
            "codes_used": float((counts > 0).double().mean()),
            "code_perplexity": float(torch.special.entr(probability).sum().exp()),
        }
