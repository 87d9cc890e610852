"""Which model yamls are read: the modules that rows may name, the limits of values, and the file as plain data.

A model yaml comes from strangers. Ultralytics' parser takes a row's module from the globals of its own file, where
`torch_safe_load` and `check_requirements` stand beside the layers, and looks arguments up as names; aliases can make a
small file huge, and numbers decide how much memory a model takes. So only layers of this file's table are ever given to
that parser, with plain values within limits. Whether the rows fit together, `yaml_lint` says.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from dlka.errors import DlkaError
from dlka.safe_yaml import MAX_BYTES, plain_yaml

MAX_ROWS = 200
MAX_REPEATS = 100
MAX_CHANNELS = 65536
MAX_CLASSES = 10_000
MAX_BINS = 64  # reg_max
MAX_GAIN = 10.0

ATTENTION = "deformable_LKA_Attention"
BLOCKS = ("C2f", "C2f_DLKA")  # repeats are an argument of the block itself
DETECTORS = ("Detect", "DetectDLKA", "Detect1x1", "v10Detect")
ONE_INPUT = ("Conv", "SPPF", *BLOCKS, "nn.Upsample", ATTENTION)
COMMON = (*ONE_INPUT, "Concat", *DETECTORS)  # layers of YOLOv8 and of the project, whose misspellings are known

_ULTRALYTICS = """
    A2C2f AConv ADown AIFI Bottleneck BottleneckCSP C1 C2 C2PSA C2fCIB C2fPSA C3 C3Ghost C3TR C3k2 C3x CBFuse CBLinear
    Conv2 ConvTranspose DWConv DWConvTranspose2d ELAN1 Focus GhostBottleneck GhostConv HGBlock HGStem Index PSA RepC3
    RepConv RepNCSPELAN4 RepVGGDW ResNetLayer SCDown SPP SPPELAN Silence
"""
_TORCH = """
    AdaptiveAvgPool2d AdaptiveMaxPool2d AvgPool2d BatchNorm2d Conv2d ConvTranspose2d Dropout Dropout2d ELU GELU
    GroupNorm Hardsigmoid Hardswish Identity InstanceNorm2d LeakyReLU MaxPool2d Mish PReLU PixelShuffle PixelUnshuffle
    ReLU ReLU6 ReflectionPad2d ReplicationPad2d SiLU Sigmoid Softplus Tanh UpsamplingBilinear2d UpsamplingNearest2d
    ZeroPad2d
"""
LAYERS = frozenset((*COMMON, *_ULTRALYTICS.split(), *(f"nn.{name}" for name in _TORCH.split())))
_OTHER_TASKS = {  # what it is -> modules
    "a head for classification": "Classify",
    "a head for depth": "Depth",
    "a head for detection by words": "LRPCHead WorldDetect YOLOEDetect",
    "a head for pose": "Pose Pose26",
    "a head for segmentation": "Segment Segment26 SemanticSegment",
    "a head for segmentation by words": "YOLOESegment YOLOESegment26",
    "a head for turned boxes": "OBB OBB26",
    "a layer for detection by words": "C2fAttn ImagePoolingAttn",
    "the decoder of RT-DETR": "RTDETRDecoder",
}
# What is read of a model yaml; yaml_file is what Ultralytics notes in the models that it builds.
_KEYS = """
    nc scales scale depth_multiple width_multiple backbone head offsets activation reg_max end2end inplace channels
    yaml_file
"""
KEYS = frozenset(_KEYS.split())

_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
# The words and the quoted numbers that a layer's arguments may be; the parser would look other words up as names.
# What YOLOv5 wrote, Detect [nc, anchors], is for the lint to fix: today's parser knows no anchors.
_ARGUMENT = re.compile(r"nc|anchors|None|True|False|nearest|nearest-exact|bilinear|bicubic|-?\d{1,5}(\.\d{0,9})?")
_ACTIVATION = re.compile(
    r"(torch\.)?nn\.(ELU|GELU|Hardswish|Identity|LeakyReLU|Mish|PReLU|ReLU|ReLU6|SiLU)"
    r"\((\d(\.\d{1,6})?|inplace=True)?\)"
)

Row = list[Any]  # [from, repeats, module, args] as in the yaml


def refusal(name: str) -> str | None:
    """Why a row may not name this module, as a clause without a full stop; None for a layer that it may name."""
    if name in LAYERS:
        return None
    for what, modules in _OTHER_TASKS.items():
        if name in modules.split():
            return f"{name} is {what}, and only plain detection is built here: Detect or DetectDLKA"
    if name == "TorchVision":
        return "TorchVision downloads its weights, and nothing is downloaded by a yaml"
    return f"{name} is not registered: it is not a module that YOLOv8's rows may use"


def closest_name(name: str) -> str | None:
    """The layer that this name plainly misspells, None otherwise: an unknown module is not another one.

    Plain is another case, other underscores or a missing ``nn.``, and in long names of common layers letters in another
    order, or one or two small ones left out or changed. A name with a letter or digit more, or with other capitals, may
    be somebody's own variant: C2f_LSKA and DeformableAttention are no C2f_DLKA.
    """
    spelling, capitals = _spelling(name), _capitals(name)
    exact = {_spelling(layer): layer for layer in sorted(LAYERS)}
    if spelling in exact:
        return exact[spelling]
    close = {
        _spelling(layer): layer
        for layer in COMMON
        if len(_spelling(layer)) >= 6
        and (sorted(_spelling(layer)) == sorted(spelling) or (layer not in BLOCKS and _capitals(layer) == capitals))
    }
    found = difflib.get_close_matches(spelling, close, n=1, cutoff=0.8)
    if not found or len(found[0]) < len(spelling):
        return None
    # How many letters to exchange, leave out or add to make one name the other: at least as many as there must be.
    changes = difflib.SequenceMatcher(None, spelling, found[0], autojunk=False).get_opcodes()
    edits = sum(max(to - start, end - begin) for kind, start, to, begin, end in changes if kind != "equal")
    return close[found[0]] if edits <= 2 else None


def scale_of(model: dict[str, Any], scale: str | None) -> tuple[str | None, float]:
    """The scale that applies and its depth gain: the one asked for, else the model's ``scale``, else the first listed.

    The one rule for both the lint and the builder; it is Ultralytics', for whom "" is no scale.
    """
    scales = model.get("scales")
    if not scales:
        return None, model.get("depth_multiple", 1.0)
    scale = scale or model.get("scale") or next(iter(scales))
    if scale not in scales:  # the one asked for: check_model has seen to the model's own
        raise DlkaError(f"scale {scale!r:.20} is not one of this yaml's scales: {', '.join(scales)}.")
    return scale, scales[scale][0]


def sources(index: int, source: int | list[int]) -> list[int | None]:
    """The rows that a ``from`` means, -1 for the picture; None for what does not come before the row ``index``."""
    written = source if isinstance(source, list) else [source]
    if index == 0:
        return [-1 if s == -1 else None for s in written]
    found = [index + s if s < 0 else s for s in written]
    return [s if 0 <= s < index else None for s in found]


def load_model_yaml(path: str | Path) -> dict[str, Any]:
    """The model of a yaml file as a dict with at least ``nc``, ``backbone``, ``head``, checked by `parse_model_yaml`.

    ``scale`` is what the file's name says, "" where it says nothing: Ultralytics never reads it from the file.
    Raises DlkaError, one sentence, for a file that is missing, too large, not UTF-8 or not a model yaml.
    """
    model = parse_model_yaml(read_text(yaml_path(path)), Path(path).name)
    scale = scale_in_name(path) or ""
    if scale and model.get("scales") and scale not in model["scales"]:
        raise DlkaError(
            f"{Path(path).name}: its name asks for scale {scale!r}, which is not one of this yaml's scales: "
            f"{', '.join(model['scales']):.200}."
        )
    return {**model, "scale": scale}


def yaml_path(name: str | Path) -> Path:
    """The file that a name stands for: its own, else, as in Ultralytics, that without the scale's letter.

    "yolov8s-mine.yaml" is "yolov8-mine.yaml" at scale s where only the second exists.
    """
    path = Path(name)
    without = path.with_name(re.sub(r"(\d+)[nslmx](.+)?$", r"\1\2", path.name)) if path.name else path
    return without if not path.exists() and without.is_file() else path


def read_text(path: str | Path) -> str:
    """The text of a yaml file of at most MAX_BYTES, line ends kept as they are; raises DlkaError."""
    path = Path(path)
    data = None
    try:
        if stat.S_ISREG(os.stat(path).st_mode):  # before opening: a named pipe would wait for its writer
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise DlkaError(f"{path.name!s:.100} cannot be read: {reason}.") from None
    if data is None:
        raise DlkaError(f"{path} cannot be read: it is no file but a folder, a pipe or a device.")
    if len(data) > MAX_BYTES:
        raise DlkaError(f"{path.name} is larger than {MAX_BYTES // 1024} KB, too large for a model yaml.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DlkaError(f"{path.name} is not a text file in UTF-8.") from None


def parse_model_yaml(text: str, name: str = "the model yaml") -> dict[str, Any]:
    """The model in a yaml text as plain dicts, lists and values; ``name`` stands in the messages.

    Refused with DlkaError: anchors and aliases, tags, deep nesting, keys given twice, and all that `check_model`
    refuses.
    """
    model: Any = plain_yaml(text, name)
    try:
        check_model(model)
    except DlkaError as error:
        raise DlkaError(f"{name}: {error}") from None
    return model


def check_model(model: object) -> None:
    """Raise DlkaError unless this is a model of plain values within the limits.

    Rows are [from, repeats, module, args]: repeats 1..100, numbers up to 65536, at most 200 rows, nc 1..10000.
    """
    if not isinstance(model, dict) or not all(isinstance(key, str) for key in model):
        raise DlkaError("expected a mapping with nc, backbone and head.")
    _check_settings(model)
    _check_gains(model)
    for part in ("backbone", "head"):
        if not isinstance(model.get(part), list) or not model[part]:
            raise DlkaError(f"{part} must be a list of rows [from, repeats, module, args].")
    rows = model["backbone"] + model["head"]
    if len(rows) > MAX_ROWS:
        raise DlkaError(f"it has {len(rows)} rows, at most {MAX_ROWS} are read.")
    for index, row in enumerate(rows):
        _check_row(index, row)


def scale_in_name(path: str | Path) -> str | None:
    """The scale letter in a file name, by Ultralytics' rule: "yolov8s-dlka.yaml" -> "s"; None where there is none."""
    found = re.search(r"yolo(e-)?[v]?\d+([nslmx])", Path(path).stem)
    return found.group(2) if found else None


def are_arguments(args: object) -> bool:
    """True for a list of values that a layer may be given: numbers within the limits and the words of `_ARGUMENT`."""
    return isinstance(args, list) and len(args) <= 20 and all(_plain(arg) for arg in args)


def flow_text(value: object) -> str:
    """A plain value or a row as one line of yaml: [-1, 1, Conv, [128, 3, 2]]."""
    if isinstance(value, list):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    if isinstance(value, str):
        return value if yaml.safe_load(value) == value else f"'{value}'"
    return "null" if value is None else str(value)


def is_int(value: object) -> bool:
    """True for an int that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """True for an int or a finite float that is not a bool."""
    return is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _check_settings(model: dict[str, Any]) -> None:
    for key, most, default in (("nc", MAX_CLASSES, None), ("reg_max", MAX_BINS, 16), ("channels", MAX_CHANNELS, 3)):
        value: Any = model.get(key, default)
        if not is_int(value) or not 1 <= value <= most:
            raise DlkaError(f"{key} must be a whole number from 1 to {most}, got {value!r:.40}.")
    for key in ("end2end", "inplace"):
        if not isinstance(model.get(key, True), bool):
            raise DlkaError(f"{key} must be True or False, got {model[key]!r:.40}.")
    act = model.get("activation")
    if act is not None and not (isinstance(act, str) and _ACTIVATION.fullmatch(act)):
        raise DlkaError(
            f"activation is Python code to Ultralytics, and only layers like torch.nn.ReLU() are read, got {act!r:.80}."
        )


def _check_gains(model: dict[str, Any]) -> None:
    """Scales are [depth, width, max_channels]; a file without them may have depth_multiple and width_multiple."""
    for key in ("depth_multiple", "width_multiple"):
        if key in model and not (is_number(model[key]) and 0 < model[key] <= MAX_GAIN):
            raise DlkaError(f"{key} must be a number from 0 to {MAX_GAIN:g}, got {model[key]!r:.40}.")
    scales = model.get("scales")
    if scales is not None and (
        not isinstance(scales, dict) or not scales or not all(isinstance(key, str) for key in scales)
    ):
        raise DlkaError("scales must be a mapping like 'n: [0.33, 0.25, 1024]'.")
    for name, gains in (scales or {}).items():
        good = isinstance(gains, list) and len(gains) == 3 and all(is_number(gain) for gain in gains)
        if not good or not all(0 < gain <= MAX_GAIN for gain in gains[:2]) or not 1 <= gains[2] <= MAX_CHANNELS:
            raise DlkaError(f"scale {name!r:.20} must be [depth, width, max_channels] like [0.33, 0.25, 1024].")
    scale = model.get("scale")  # a word, and one of the scales where there are any; "" and none at all mean the first
    if scale is not None and (not isinstance(scale, str) or (scale and scales and scale not in scales)):
        known = f" one of this yaml's scales: {', '.join(scales)}" if scales else " a word"
        raise DlkaError(f"scale {scale!r:.40} is not{known:.200}.")


def _check_row(index: int, row: object) -> None:
    if not isinstance(row, list) or len(row) != 4:
        raise DlkaError(f"row {index} must be [from, repeats, module, args], got {row!r:.80}.")
    source, repeats, module, args = row
    sources = source if isinstance(source, list) else [source]
    if not 1 <= len(sources) <= 20 or not all(is_int(s) and -MAX_ROWS <= s <= MAX_ROWS for s in sources):
        raise DlkaError(f"row {index}: 'from' must be a row number or a list of them, got {source!r:.80}.")
    if not is_int(repeats) or not 1 <= repeats <= MAX_REPEATS:
        raise DlkaError(f"row {index}: repeats must be from 1 to {MAX_REPEATS}, got {repeats!r:.40}.")
    if not isinstance(module, str) or not _MODULE.fullmatch(module):
        raise DlkaError(f"row {index}: expected the name of a module, got {module!r:.80}.")
    if refusal(module):
        return  # the lint names it; what its arguments would mean is no matter
    if not are_arguments(args):
        raise DlkaError(
            f"row {index}: args must be a list of numbers up to {MAX_CHANNELS}, True, False, None, nc or a way to"
            f" enlarge maps, got {args!r:.80}."
        )


def _plain(arg: object, nested: bool = False) -> bool:
    if isinstance(arg, list) and not nested:
        return len(arg) <= 8 and all(_plain(item, nested=True) for item in arg)
    if isinstance(arg, str):
        return _ARGUMENT.fullmatch(arg) is not None
    return arg is None or isinstance(arg, bool) or (is_number(arg) and abs(arg) <= MAX_CHANNELS)


def _spelling(name: str) -> str:
    return name.lower().replace("_", "").removeprefix("nn.")


def _capitals(name: str) -> list[str]:
    return sorted(letter for letter in name if letter.isupper() or letter.isdigit())
