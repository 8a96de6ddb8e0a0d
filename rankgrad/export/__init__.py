"""From a trained ranker to files that run without torch."""

from rankgrad.export.ahead_of_time import export_package, load_package
from rankgrad.export.bundle import export_bundle
from rankgrad.export.compile_cache import load_compile_cache, save_compile_cache
from rankgrad.export.compiled import compile_ranker
from rankgrad.export.fusion import export_fusion
from rankgrad.export.half import halve_onnx
from rankgrad.export.module import export_module
from rankgrad.export.onnx import export_onnx
from rankgrad.export.optimize import optimize_onnx
from rankgrad.export.parity import ParityError
from rankgrad.export.quantize import quantize_onnx
from rankgrad.export.static_quantize import quantize_static_onnx
from rankgrad.export.weight_only import quantize_weights_onnx

__all__ = [
    "ParityError",
    "compile_ranker",
    "export_bundle",
    "export_fusion",
    "export_module",
    "export_onnx",
    "export_package",
    "halve_onnx",
    "load_compile_cache",
    "load_package",
    "optimize_onnx",
    "quantize_onnx",
    "quantize_static_onnx",
    "quantize_weights_onnx",
    "save_compile_cache",
]
