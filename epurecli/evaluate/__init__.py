"""Judges images and never imports a model."""

from epurecli.evaluate.album import LossCurve
from epurecli.evaluate.conditioning import Measure, learn_measures, requests_beyond
from epurecli.evaluate.images import Designs, Inpainted
from epurecli.evaluate.judge import Reference, evaluate, fit_reference
from epurecli.evaluate.metric import Better, Histogram, Metric, Report
from epurecli.evaluate.pictures import portray
from epurecli.evaluate.report import read_reports, write_reports
from epurecli.evaluate.summary import Summary, summarise

__all__ = [
    "Better",
    "Designs",
    "Histogram",
    "Inpainted",
    "LossCurve",
    "Measure",
    "Metric",
    "Reference",
    "Report",
    "Summary",
    "evaluate",
    "fit_reference",
    "learn_measures",
    "portray",
    "read_reports",
    "requests_beyond",
    "summarise",
    "write_reports",
]
