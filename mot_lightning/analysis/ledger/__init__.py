"""The ledger: what a model costs, in parameters, FLOPs and memory."""

from mot_lightning.analysis.ledger.flops import Cost, costs
from mot_lightning.analysis.ledger.parameters import parameter_groups
from mot_lightning.analysis.ledger.step import StepCost, step_cost
from mot_lightning.parameters import active_parameters, total_parameters

__all__ = [
    "Cost",
    "StepCost",
    "active_parameters",
    "costs",
    "parameter_groups",
    "step_cost",
    "total_parameters",
]
