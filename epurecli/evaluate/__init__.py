"""Judges images and never imports a model."""

from epurecli.evaluate.conditioning import Measure, learn_measures, requests_beyond
from epurecli.evaluate.images import Designs, Inpainted
from epurecli.evaluate.judge import Reference, evaluate, fit_reference
from epurecli.evaluate.metric import Better, Histogram, Metric, Report

__all__ = [
    "Better",
    "Designs",
    "Histogram",
    "Inpainted",
    "Measure",
    "Metric",
    "Reference",
    "Report",
    "evaluate",
    "fit_reference",
    "learn_measures",
    "requests_beyond",
]
