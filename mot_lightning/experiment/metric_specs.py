"""The metrics that a config chooses, spelt out and checked before work starts."""

from collections.abc import Collection, Sequence
from typing import Any

from mot_lightning.config.classes import METRICS, class_path_of
from mot_lightning.config.hints import did_you_mean
from mot_lightning.errors import ConfigError
from mot_lightning.experiment.class_specs import check_mapping, class_spec

PACKAGE = "mot_lightning.evaluation.metrics"


def metric_specs(report: Any, modalities: Collection[str], allow: Sequence[str]) -> None:
    """Write full names of classes into `metrics` of the report's settings.

    Raises:
        ConfigError: a modality is unknown, or a class is none, is no metric, or does not take its arguments.
    """
    if not isinstance(report, dict) or not report.get("metrics"):  # other values are refused by the parser
        return
    check_mapping("report.metrics", report["metrics"])
    for modality, metrics in report["metrics"].items():
        if modality not in modalities:
            close = did_you_mean(modality, modalities) or f", wanted some of {', '.join(modalities)}"
            raise ConfigError(f"report.metrics has {modality!r}, which is no modality{close}")
        check_mapping(f"report.metrics.{modality}", metrics)
        specs = {name: spec for name, spec in metrics.items() if spec is not None}
        report["metrics"][modality] = {
            name: _spec(f"report.metrics.{modality}.{name}", spec, allow) for name, spec in specs.items()
        }


def _spec(name: str, spec: Any, allow: Sequence[str]) -> Any:
    from torchmetrics import Metric

    from mot_lightning.evaluation.chosen import LINKED
    from mot_lightning.evaluation.metrics.adapted import adapted

    spec = {"class_path": spec} if isinstance(spec, str) else spec
    check_mapping(name, spec)
    path = class_path_of(name, spec)
    spec = {**spec, "class_path": path if "." in path else f"{PACKAGE}.{path}"}
    kind, spec = class_spec(name, spec, [*METRICS, *allow], linked=LINKED)
    if not issubclass(kind, Metric):
        raise ConfigError(f"{name} is {kind.__name__}, wanted a class of torchmetrics.Metric")
    adapted(kind)  # which refuses what cannot be updated with media
    return spec


def without_metrics_of_absent(config: dict[str, Any], absent: set[str]) -> dict[str, Any]:
    """Remove metrics of modalities that a later layer dropped, so that one config of metrics serves all recipes."""
    report: Any = config.get("report")
    metrics = report.get("metrics") if isinstance(report, dict) else None
    if not isinstance(metrics, dict) or not absent & metrics.keys():
        return config
    return {**config, "report": {**report, "metrics": {k: v for k, v in metrics.items() if k not in absent}}}
