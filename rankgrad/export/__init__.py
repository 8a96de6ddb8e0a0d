"""From a trained ranker to files that run without torch."""

from rankgrad.export.bundle import export_bundle
from rankgrad.export.onnx import export_onnx
from rankgrad.export.parity import ParityError
from rankgrad.export.quantize import quantize_onnx

__all__ = ["ParityError", "export_bundle", "export_onnx", "quantize_onnx"]
