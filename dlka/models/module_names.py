"""Which modules the rows of a model yaml may name, and what is said of any other name.

Ultralytics' parser takes a name from the globals of its own file, where `torch_safe_load` and `check_requirements`
stand beside the layers, and calls it with the row's arguments. So only names of this table are ever given to it: the
layers that its parser knows how to wire, a few of torch.nn, and the project's own.
"""

from __future__ import annotations

import difflib

OFFSETS = ("dense", "separable", "none", "features")  # how offsets are predicted, see dlka.layers
RIGID = ("none", "features")  # the words with which nothing deforms
ATTENTION = "deformable_LKA_Attention"
BLOCKS = ("C2f", "C2f_DLKA")  # repeats are an argument of the block itself
WIDENED = ("Conv", "SPPF", *BLOCKS)  # first argument: output channels before the width gain
DETECTORS = ("Detect", "DetectDLKA", "Detect1x1", "v10Detect")
TRACKED = (*WIDENED, "Concat", "nn.Upsample", ATTENTION, *DETECTORS)  # what row_tracking follows

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
LAYERS = frozenset((*TRACKED, *_ULTRALYTICS.split(), *(f"nn.{name}" for name in _TORCH.split())))

_OTHER_TASKS = {
    "C2fAttn": "a layer for detection by words",
    "Classify": "a head for classification",
    "Depth": "a head for depth",
    "ImagePoolingAttn": "a layer for detection by words",
    "LRPCHead": "a head for detection by words",
    "OBB": "a head for turned boxes",
    "OBB26": "a head for turned boxes",
    "Pose": "a head for pose",
    "Pose26": "a head for pose",
    "RTDETRDecoder": "the decoder of RT-DETR",
    "Segment": "a head for segmentation",
    "Segment26": "a head for segmentation",
    "SemanticSegment": "a head for segmentation",
    "WorldDetect": "a head for detection by words",
    "YOLOEDetect": "a head for detection by words",
    "YOLOESegment": "a head for segmentation by words",
    "YOLOESegment26": "a head for segmentation by words",
}


def refusal(name: str) -> str | None:
    """Why a row may not name this module, as a clause without a full stop; None for a layer that it may name."""
    if name in LAYERS:
        return None
    if name in _OTHER_TASKS:
        return f"{name} is {_OTHER_TASKS[name]}, and only plain detection is built here: Detect or DetectDLKA"
    if name == "TorchVision":
        return "TorchVision downloads its weights, and nothing is downloaded by a yaml"
    return f"{name} is not registered: it is not a module that YOLOv8's rows may use"


def closest_name(name: str) -> str | None:
    """The layer that this name plainly misspells, None otherwise: an unknown module is not another one.

    Plain is another case, other underscores or a missing ``nn.``, and in long names of layers that are followed
    letters in another order, or one or two small ones left out or changed. A name with a letter or digit more, or
    with other capitals, may be somebody's own variant: C2f_LSKA and DeformableAttention are no C2f_DLKA.
    """
    spelled = {_spelling(layer): layer for layer in sorted(LAYERS)}
    if _spelling(name) in spelled:
        return spelled[_spelling(name)]
    long = [layer for layer in TRACKED if len(_spelling(layer)) >= 6]
    swapped = [layer for layer in long if sorted(_spelling(layer)) == sorted(_spelling(name))]
    if swapped:
        return swapped[0]
    words = {_spelling(layer): layer for layer in long if layer not in BLOCKS and _capitals(layer) == _capitals(name)}
    found = difflib.get_close_matches(_spelling(name), words, n=1, cutoff=0.8)
    return words[found[0]] if found and 0 <= len(found[0]) - len(_spelling(name)) <= 2 else None


def _spelling(name: str) -> str:
    return name.lower().replace("_", "").removeprefix("nn.")


def _capitals(name: str) -> str:
    return "".join(letter for letter in name if letter.isupper() or letter.isdigit())
