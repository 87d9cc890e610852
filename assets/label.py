"""Writes labels.json, thermal.json, steel.json and scenes.json, ground truth of the examples in COCO's format.

python -m assets.label

scenes.json has the boxes of the scenes that the project draws (assets/draw.py), exact, with the names of their shapes.
steel.json has the labels of NEU-DET for its three pictures, rounded to pixels; thermal.json those of HIT-UAV for its
two. labels.json has all other examples, with COCO's classes: for the two pictures from the air the cars that their data
set has labels for, and a tram; for the others boxes measured by eye on the enlarged pictures.

The pictures come with installed packages; the far crowd repeats the bus stop at a third of its size. All of COCO's
classes were looked for. What cannot be told apart by eye (spectators out of focus, plants on a balcony, a black tie on
a black coat, whoever walks or rides far below, cars under trees) is a crowd: neither hit nor missed.
"""

import json
from pathlib import Path

from assets.draw import SCENE, SCENES, scene
from dlka.drawn.shapes import SHAPES
from dlka.models.catalog import CONTROL, cards

NAMES = cards()[CONTROL].names  # COCO's 80 classes
IDS = {name: number for number, name in NAMES.items()}
PERSON, BICYCLE, CAR, MOTORCYCLE, BUS, TRAIN, TIE, PHONE, PLANT = map(
    IDS.__getitem__,
    ("person", "bicycle", "car", "motorcycle", "bus", "train", "tie", "cell phone", "potted plant"),
)


def boxes(category: int, text: str) -> list[tuple]:
    """Rows of one class from "x1 y1 x2 y2, ..."."""
    return [(category, *map(float, row.split())) for row in text.split(",")]


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
# The data set has no labels for some cars at the edge and under trees; its minibus is left out: COCO has no such class.
CROSSROADS = boxes(
    CAR,
    "233.4 295.9 272.2 324.9, 187.8 318.2 225 346.4, 152.9 124.1 184.9 165.5, 123.4 70.6 152.5 109.3, "
    "148.1 0.1 177.4 35.9, 18.1 2 58.9 26.5, 124.4 143.3 146.4 169.3, 349.7 34.2 388.4 53.6, 419.5 32.3 454.4 49.1, "
    "255.4 259.2 290.4 286.8, 518.6 176.6 559.8 207.9, 315.7 287.1 358.4 317, 94.3 523 129.9 542.4, "
    "346.5 434.2 377.8 465.8, 374.3 460.2 410.4 495.2, 405.3 486.7 444.9 523.2, 438 510.8 478 546.3, "
    "587.2 231.8 605.5 267, 574.9 341 595.3 376.5, 560.4 435.7 581.6 476.1, 598.1 323.5 617.4 365.8, "
    "618.3 322.6 639 365.4, 607.2 420.7 626.2 460.9",
)
STREET = boxes(
    CAR,
    "137.2 224 154.1 254.2, 375.9 146.8 409.6 160.8, 121.3 252.1 135 279.1, 91.5 9.5 106.6 37.9, 8.5 146.7 39.8 159, "
    "229.8 220.9 246 246.5, 375.1 80.2 407.1 93, 417.8 64.8 448.6 78.1, 381.5 62.8 409.1 76, 341.7 60.6 372.2 75.1, "
    "735.4 86.6 769.5 101.6, 698.7 81.7 725.8 95, 560.6 91.9 590.7 105.9, 444.7 101.2 474.8 112.9, "
    "657.8 79.4 685.6 91.3, 626.1 78.6 652.2 90.5, 591.6 77.1 621.2 90.3, 545.1 73.7 575.5 86, "
    "909.5 48.1 924.1 75.5, 912.6 20.2 926.9 43.8, 852.6 31.2 866.7 61.2, 856.6 0.9 868.1 21.8, "
    "866.2 187.4 897.5 205.8, 328.6 183.5 361.4 197.5, 366.4 182.1 397.6 195.3, 430.1 181.5 457.7 193.6, "
    "464.1 183.4 492.3 195.3, 503.3 184 529.8 197.6, 541.9 186.8 574.5 200.6, 579.7 189 606.5 203.2, "
    "622.9 192 650.3 204.5, 654.5 192.5 673.7 205.5, 677.3 194.2 710.6 208.6, 720.2 198 752.1 211.8, "
    "796.1 202.1 821.8 215.8",
)
FAR_BELOW = (PERSON, BICYCLE, MOTORCYCLE, CAR)
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
    "aerial-crossroads.jpg": ((684, 547), [*CROSSROADS, *((far, 0, 0, 684, 547, True) for far in FAR_BELOW)]),
    "aerial-street.jpg": (
        (1024, 301),
        [*STREET, (TRAIN, 174, 274, 195, 301), *((far, 0, 0, 1024, 301, True) for far in FAR_BELOW)],
    ),
}

SEEN_BY_DRONES = ("person", "car", "bicycle", "other vehicle")
THERMAL = {
    "thermal-people.jpg": (
        (640, 512),
        boxes(
            0,
            "289 114 297 130, 304 109 313 124, 298 121 306 134, 322 109 330 125, 315 119 322 132, 344 110 353 125, "
            "334 128 342 138, 311 130 318 141, 352 119 362 132, 348 134 355 148, 366 129 374 143, 336 179 346 195, "
            "328 170 338 186, 353 174 360 185, 397 188 404 206, 574 179 582 192, 562 178 573 188, 159 294 167 310, "
            "176 313 185 330, 280 304 289 321, 295 294 303 309, 305 300 312 317, 316 309 325 325, 322 299 336 314, "
            "587 382 596 398, 577 406 587 423",
        ),
    ),
    "thermal-bicycles.jpg": (
        (640, 512),
        [
            (1, 286, 28, 377, 104),
            *boxes(
                2,
                "418 291 443 319, 396 295 436 331, 353 306 378 340, 339 332 369 367, 328 341 356 379, 310 346 338 385, "
                "272 378 297 416, 237 398 265 435, 229 404 257 441, 220 407 244 439, 213 410 238 443, 207 413 232 446, "
                "201 415 226 448, 195 421 220 454, 186 424 211 457",
            ),
        ],
    ),
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
    write("thermal.json", dict(enumerate(SEEN_BY_DRONES)), THERMAL)
    write("steel.json", dict(enumerate(DEFECTS)), STEEL)
    write("scenes.json", dict(enumerate(SHAPES)), scenes())
