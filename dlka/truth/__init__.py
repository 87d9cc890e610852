"""Ground truth: reading labels, and judging detections by them. Knows neither a model nor pages; plain numpy."""

from dlka.truth.coco import CocoLabels, parse_coco
from dlka.truth.counts import Counts, agreement, count
from dlka.truth.judge import FALSE_ALARM, HIT, UNCOUNTED, Judgement, judge
from dlka.truth.labels import Truth
from dlka.truth.names import parse_names
from dlka.truth.text import TruthRefused
from dlka.truth.verdict import Verdict, verdict
from dlka.truth.yolo import YoloLabels, parse_yolo

__all__ = [
    "FALSE_ALARM",
    "HIT",
    "UNCOUNTED",
    "CocoLabels",
    "Counts",
    "Judgement",
    "Truth",
    "TruthRefused",
    "Verdict",
    "YoloLabels",
    "agreement",
    "count",
    "judge",
    "parse_coco",
    "parse_names",
    "parse_yolo",
    "verdict",
]
