"""Kernel distance between generated and real images, in the features of any extractor."""

from torch import Tensor

from mot_lightning.evaluation.metrics.features import FeatureMetric


class KernelDistance(FeatureMetric):
    """KID (arXiv 1801.01401, section 4): the squared maximum mean discrepancy of a cubic kernel, without bias.

    It is of all samples at once, where others average over random subsets, and may be below 0.
    """

    higher_is_better = False
    min_samples = 2

    def compute(self) -> Tensor:
        fake, real = self.generated, self.real
        within = [_mean_of_pairs(_kernel(one, one)) for one in (fake, real)]
        return within[0] + within[1] - 2 * _kernel(fake, real).mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3  # (n, m)


def _mean_of_pairs(kernel: Tensor) -> Tensor:
    """The mean without the diagonal, where a sample is compared with itself."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
