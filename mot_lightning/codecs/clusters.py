"""K-means, whose centres codecs take as their units."""

import torch
from jaxtyping import Float
from torch import Tensor


def cluster(points: Float[Tensor, "n d"], count: int) -> Float[Tensor, "{count} d"]:
    """Centres of points by k-means; deterministic.

    Raises:
        ValueError: there are fewer points than centres.
    """
    from sklearn.cluster import MiniBatchKMeans  # takes most of a second

    if len(points) < count:
        raise ValueError(f"vocab_size is {count}, wanted at most the {len(points)} units of the training media")
    means = MiniBatchKMeans(count, random_state=0, batch_size=2_048, n_init=3).fit(points.cpu().numpy())
    return torch.from_numpy(means.cluster_centers_).to(points)
