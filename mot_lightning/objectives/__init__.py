"""How each modality learns: one file per objective."""

from mot_lightning.objectives.base import Objective
from mot_lightning.objectives.diffusion import Diffusion
from mot_lightning.objectives.flow_matching import FlowMatching
from mot_lightning.objectives.masked_token import MaskedToken
from mot_lightning.objectives.next_latent import NextLatent
from mot_lightning.objectives.next_token import NextToken
from mot_lightning.objectives.observed import Observed
from mot_lightning.objectives.regression import Regression

__all__ = ["Diffusion", "FlowMatching", "MaskedToken", "NextLatent", "NextToken", "Objective", "Observed", "Regression"]
