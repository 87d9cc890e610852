"""What can be exported, what cannot carry a deformable convolution today, and why: one sentence for each."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from dlka.errors import DlkaError


class ExportRefused(DlkaError):
    """An export that is not done, or whose file was not kept; one sentence with what to do."""


@dataclass(frozen=True)
class Format:
    """suffix: of the file; packages: modules that writing and checking it need besides the project's own."""

    suffix: str
    packages: tuple[str, ...] = ()


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime")),
    "torchscript": Format(".torchscript"),
    "pt2": Format(".pt2"),
}

_UNKNOWN = "no converter that reads a deformable convolution for {} is known to this project"
_TENSORFLOW = (
    "TensorFlow and LiteRT have no deformable convolution; newer versions of onnx2tf unroll that of an ONNX file "
    "into gathers (not tried here)"
)
# Ultralytics' names of formats -> why a model with deformable convolutions is not exported to them (November 2026).
ELSEWHERE = {
    "openvino": "OpenVINO 2026.4 has no conversion rule for ONNX's DeformConv",
    "engine": (
        "TensorRT builds an engine on the GPU that it is for, from an ONNX file, whose DeformConv it reads since 10.1 "
        "(not tried here)"
    ),
    "coreml": "Core ML Tools 9.0 cannot convert a deformable convolution",
    "coreai": _UNKNOWN.format("Core AI"),
    **dict.fromkeys(("saved_model", "pb", "litert", "edgetpu"), _TENSORFLOW),
    "ncnn": "ncnn's DeformableConv2D has no groups, and that of D-LKA is depthwise",
    "executorch": "ExecuTorch's kernel libraries have no deformable convolution",
    **{
        key: _UNKNOWN.format(name)
        for key, name in {
            "paddle": "PaddlePaddle",
            "mnn": "MNN",
            "imx": "IMX",
            "rknn": "RKNN",
            "axelera": "Axelera AI",
            "deepx": "DEEPX",
            "hailo": "Hailo",
            "qnn": "Qualcomm QNN",
            "ascend": "Huawei Ascend",
            "xilinx": "AMD Xilinx",
        }.items()
    },
}
ALIASES = {"tensorrt": "engine", "tflite": "litert", "tensorflow": "saved_model"}


def check_format(name: str, model: str, deformable: bool) -> Format:
    """The format of that name; ExportRefused for others, with the reason and what to do instead.

    deformable: whether `model`, named in the sentence, has deformable convolutions.
    """
    if name in FORMATS:
        return FORMATS[name]
    theirs = ALIASES.get(name, name)
    if theirs not in ELSEWHERE:
        raise ExportRefused(f"format: expected one of {', '.join(FORMATS)}, got {name!r:.40}.")
    if not deformable:
        raise ExportRefused(
            f"format {name}: {model} has no deformable convolution, so that converters take it: use --format onnx and "
            f"convert that file, or export a checkpoint with Ultralytics' own exporter: yolo export format={theirs}."
        )
    raise ExportRefused(
        f"format {name}: {ELSEWHERE[theirs]}; use --format onnx, which ONNX Runtime runs on CPU and CUDA."
    )


def check_packages(packages: tuple[str, ...], format_name: str) -> None:
    """ExportRefused, with what to install, where one of these modules is missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        names = " ".join(missing)
        raise ExportRefused(f"format {format_name} needs what is not installed here; get it with: pip install {names}")
