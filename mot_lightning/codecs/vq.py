"""Images as ids of a vector-quantised autoencoder's codes (VQ-VAE, arXiv 1711.00937), as Chameleon's image tokens."""

from typing import Any

import torch
import torch.nn.functional as F
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from mot_lightning.codecs.autoencoder import Autoencoder, in_parts

PLAIN = 0.2  # share of the training before anything is quantised
SETTLED = 0.8  # share after which codes stay where gradients bring them
EVERY = 50  # steps from one look at unused codes to the next


class VQ(Autoencoder):
    """Image (c, h, w) in [0, 1] <-> ids (n,) of the codes nearest to its latents, row by row.

    A network that is trained here is a plain autoencoder first; k-means over its latents then makes the codes. A code
    that nothing is near to moves to some latent (Jukebox, arXiv 2005.00341, section 3.1): none stays unused for long.

    Args:
        shape, downsample, channels, steps: as in `Autoencoder`; the latter three are of a network trained here.
        name_or_path: folder or hub name of a VQModel; none trains a small one.
        vocab_size: codes of a network trained here.
        latent_channels: numbers in one of its codes.
    """

    classes = ("VQModel",)
    vocab_size: int

    def __init__(
        self,
        shape: tuple[int, int, int],
        name_or_path: str | None = None,
        vocab_size: int = 256,
        latent_channels: int = 4,
        downsample: int = 2,
        channels: int = 32,
        steps: int = 1000,
    ) -> None:
        super().__init__(shape, name_or_path, downsample, channels, steps)
        if vocab_size < 2:
            raise ValueError(f"vocab_size is {vocab_size}, wanted at least 2")
        self.vocab_size, self.latent_channels = vocab_size, latent_channels
        self.latent_channels = self.hold()
        self.vocab_size = self.held.network.config.num_vq_embeddings

    @property
    def codebook(self) -> Tensor:
        return self.held.network.quantize.embedding.weight.detach()  # (vocab_size, c')

    def encode(self, media: Tensor) -> Tensor:
        self.check(media)
        return self.ids(media[None])[0]

    @torch.no_grad()
    def ids(self, images: Tensor) -> Tensor:
        """Images (b, c, h, w) -> ids (b, n)."""
        return self._nearest(self.latents(images))

    def _nearest(self, latents: Tensor) -> Tensor:
        return self.held.network.quantize(latents)[2][2].view(len(latents), -1)

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Ids (n,) -> image. A segment that was left unfinished goes on with its last id; what is too much is cut."""
        ids = tokens[: self.length].cpu()
        last = ids[-1:] if len(ids) else torch.zeros(1, dtype=torch.long)
        ids = torch.cat([ids, last.expand(self.length - len(ids))])
        codes = self.held.network.quantize.embedding(ids)  # (n, c')
        return self.images(codes.T.reshape(1, -1, *self.latent_size))[0]  # (c, h, w)

    def encoded(self, pixels: Tensor) -> Tensor:
        return self.held.network.encode(pixels).latents

    def build(self) -> Any:
        from diffusers import VQModel  # takes seconds

        return VQModel(**self.layers(), latent_channels=self.latent_channels, num_vq_embeddings=self.vocab_size)

    def loss(self, images: Tensor, done: float, generator: torch.Generator) -> Tensor:
        pixels = 2 * images - 1
        network = self.held.network
        latents = network.encode(pixels).latents
        if done < PLAIN:
            return F.mse_loss(network.decode(latents, force_not_quantize=True).sample, pixels)
        found = network.decode(latents)
        return F.mse_loss(found.sample, pixels) + found.commit_loss

    @torch.no_grad()
    def before_step(self, images: Tensor, step: int, steps: int, generator: torch.Generator) -> None:
        first = int(-(-PLAIN * steps // 1))  # the first step that quantises
        if step < first or step > SETTLED * steps or (step - first) % EVERY:
            return
        codes = self.held.network.quantize.embedding.weight  # (v, c')
        latents = in_parts(self.latents, images)  # (b, c', h', w')
        points = latents.permute(0, 2, 3, 1).reshape(-1, codes.shape[1])
        if step == first and len(points) > len(codes):
            means = MiniBatchKMeans(len(codes), random_state=0, batch_size=4_096, n_init=1).fit(points.cpu().numpy())
            codes.copy_(torch.from_numpy(means.cluster_centers_))
        unused = self._nearest(latents).flatten().bincount(minlength=len(codes)) == 0  # (v,)
        drawn = torch.randint(len(points), (len(codes),), generator=generator, device=points.device)
        codes.copy_(torch.where(unused[:, None], points[drawn], codes))

    @torch.no_grad()
    def quality(self, images: Tensor) -> dict[str, float]:
        """PSNR, the share of codes in use, and perplexity: so many codes, used alike, would say as much."""
        counts = in_parts(self.ids, images).flatten().bincount(minlength=self.vocab_size).double()
        share = counts / counts.sum()
        return {
            **super().quality(images),
            "codes_used": float((counts > 0).double().mean()),
            "code_perplexity": float(torch.special.entr(share).sum().exp()),
        }
