"""Writes labels.json, COCO ground truth of the examples: boxes measured by eye on the enlarged pictures.

python -m assets.label

The pictures come with installed packages; the far crowd repeats the bus stop at a third of its size. All of COCO's
classes were looked for. What cannot be told apart by eye (spectators out of focus, plants on a balcony, a black tie on
a black coat) is a crowd: neither hit nor missed.
"""

import json
from pathlib import Path

from dlka.models.catalog import DEFAULT, cards

NAMES = cards()[DEFAULT].names  # COCO's 80 classes
IDS = {name: number for number, name in NAMES.items()}
PERSON, BICYCLE, BUS, TIE, PHONE, PLANT = map(
    IDS.__getitem__, ("person", "bicycle", "bus", "tie", "cell phone", "potted plant")
)
# File -> (width, height), rows of class, x1, y1, x2, y2; True behind a row: a crowd.
BUS_STOP = [
    (PERSON, 52, 399, 246, 902),
    (PERSON, 224, 405, 344, 860),
    (PERSON, 0, 549, 79, 872),
    (PERSON, 667, 397, 810, 881),
    (BUS, 3, 231, 803, 738),
    (BICYCLE, 668, 20, 739, 79),
    (PHONE, 277, 671, 290, 691),
    (PLANT, 250, 0, 460, 35, True),
]
COPIES = [(810 * x, 1080 * y) for y in range(3) for x in range(4)]
FAR = [
    (category, (x1 + x) / 3, (y1 + y) / 3, (x2 + x) / 3, (y2 + y) / 3, *crowd)
    for x, y in COPIES
    for category, x1, y1, x2, y2, *crowd in BUS_STOP
]
PICTURES = {
    "bus.jpg": ((810, 1080), BUS_STOP),
    "far-crowd.png": ((1080, 1080), FAR),
    "zidane.jpg": (
        (1280, 720),
        [
            (PERSON, 122, 203, 1152, 720),
            (PERSON, 749, 41, 1117, 720),
            (TIE, 442, 437, 506, 720),
            (PERSON, 0, 0, 1280, 720, True),
            (TIE, 985, 310, 1100, 720, True),
        ],
    ),
    "grace_hopper.jpg": ((512, 600), [(PERSON, 15, 23, 512, 600), (TIE, 210, 400, 305, 450, True)]),
    "cheetah1.jpg": ((256, 256), []),
    "dots-and-curves.png": ((960, 720), []),
}

images, annotations = [], []
for number, (file, ((width, height), rows)) in enumerate(PICTURES.items(), 1):
    images.append({"id": number, "file_name": file, "width": width, "height": height})
    for category, x1, y1, x2, y2, *crowd in rows:
        box = [round(value, 1) for value in (x1, y1, x2 - x1, y2 - y1)]
        row = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box}
        annotations.append({**row, "iscrowd": int(bool(crowd))})
categories = [{"id": number, "name": name} for number, name in NAMES.items()]
content = {"images": images, "categories": categories, "annotations": annotations}
Path(__file__).with_name("labels.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
