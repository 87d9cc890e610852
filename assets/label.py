"""Writes labels.json, steel.json and scenes.json, ground truth of the examples in COCO's format.

python -m assets.label

scenes.json has the boxes of the scenes that the project draws (assets/draw.py), exact, with the names of their shapes.
steel.json has the labels of NEU-DET for its three pictures, rounded to pixels. labels.json has all other examples:
boxes measured by eye on the enlarged pictures, COCO's classes.

The pictures come with installed packages; the far crowd repeats the bus stop at a third of its size. All of COCO's
classes were looked for. What cannot be told apart by eye (spectators out of focus, plants on a balcony, a black tie on
a black coat) is a crowd: neither hit nor missed.
"""

import json
from pathlib import Path

from assets.draw import SCENE, SCENES, scene
from dlka.drawn.shapes import SHAPES
from dlka.models.catalog import CONTROL, cards

NAMES = cards()[CONTROL].names  # COCO's 80 classes
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


DEFECTS = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
INCLUSION, PATCHES, SCRATCHES = 1, 2, 5
STEEL = {
    "steel-inclusion.jpg": (
        (200, 200),
        [(INCLUSION, *box) for box in ((42, 16, 56, 74), (34, 93, 50, 164), (63, 105, 85, 127), (99, 124, 116, 168))],
    ),
    "steel-patches.jpg": (
        (200, 200),
        [
            (PATCHES, *box)
            for box in (
                *((0, 12, 47, 88), (0, 105, 60, 199), (62, 25, 128, 107), (129, 0, 197, 161), (99, 126, 179, 199)),
            )
        ],
    ),
    "steel-scratches.jpg": (
        (200, 200),
        [(SCRATCHES, 16, 0, 55, 199), (INCLUSION, 106, 111, 127, 200), (INCLUSION, 132, 115, 153, 173)],
    ),
}


def write(file: str, names: dict[int, str], pictures: dict[str, tuple[tuple[int, int], list[tuple]]]) -> None:
    """names: class number -> name; pictures as PICTURES."""
    images, annotations = [], []
    for number, (name, ((width, height), rows)) in enumerate(pictures.items(), 1):
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for category, x1, y1, x2, y2, *crowd in rows:
            box = [round(value, 1) for value in (x1, y1, x2 - x1, y2 - y1)]
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": box}
            annotations.append({**row, "iscrowd": int(bool(crowd))})
    categories = [{"id": number, "name": name} for number, name in names.items()]
    content = {"images": images, "categories": categories, "annotations": annotations}
    Path(__file__).with_name(file).write_text(json.dumps(content) + "\n", encoding="utf-8")


def scenes() -> dict[str, tuple[tuple[int, int], list[tuple]]]:
    """The drawn scenes as PICTURES has the others."""
    shapes = list(SHAPES)
    return {f: (SCENE[::-1], [(shapes.index(one.name), *one.box()) for one in scene(f).objects]) for f in SCENES}


if __name__ == "__main__":
    write("labels.json", NAMES, PICTURES)
    write("steel.json", dict(enumerate(DEFECTS)), STEEL)
    write("scenes.json", dict(enumerate(SHAPES)), scenes())
