"""The data sets of the experiment: what they show, where they come from, under which licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSet:
    """pictures: what they show; source: who made them; licence: as stated where they were published."""

    pictures: str
    source: str
    licence: str


DATA_SETS = {
    "coco-mini": DataSet(
        "everyday photographs with COCO's 80 classes: 238 to train on and 119 to measure on",
        "COCO 2017, by way of lightly-ai/coco128_yolo, zzowenzz/COCO_Tiny, Deci-AI/super-gradients and "
        "mosjel/Tiny-COCO-Val-2017. Those to measure on are of val2017, which stock YOLOv8 was not trained on; it was "
        "trained on all of the others",
        "COCO's terms",
    ),
    "scenes": DataSet(
        "letters and curves of 8 to 96 px, turned, stretched, on clutter, 160x160: 12,000 to train on and 500 to "
        "measure on, drawn by python -m dlka draw-scenes --count 12000 --seed 0 --val 500",
        "this project",
        "AGPL-3.0",
    ),
    "natural-pool": DataSet(
        "2,587 photographs of scenes, streets and things, longer side 300 to 640 px, without labels",
        "samples of ADE20K, ImageNet, BSDS and VOC, and street scenes",
        "research terms",
    ),
    "hit-uav": DataSet(
        "thermal frames of a drone at 60 to 130 m, 640x512: 1,500 to train on and 420 to measure on. They were split "
        "by segment of a flight; the official split mixes neighbouring frames, so that figures on it do not compare",
        "HIT-UAV: Suo et al., Scientific Data 10, 227, 2023",
        "CC BY 4.0",
    ),
    "neu-det": DataSet(
        "photographs of rolled steel with six kinds of defects, 200x200, grey: 1,440 to train on and 180 to measure "
        "on, split at random within the kinds",
        "NEU-DET: Song and Yan, Applied Surface Science 285, 2013; He et al., IEEE Transactions on Instrumentation and "
        "Measurement 69, 2020",
        "for research, as its makers offer it",
    ),
}
