"""From a trained ranker to files that run without torch.

- A bundle: ``bundle`` writes it. What a kind of model puts in: ``onnx`` (cross-encoders, ColBERT), ``exit_bundle``,
  ``pair_bundle`` (listwise and compressing cross-encoders; ``pair_graph`` is traced), ``reranker_bundle``,
  ``weighed_bundle``, ``late_encoders`` and ``separate_graphs`` (ColBERT), ``dense_bundle``, ``sparse_bundle``,
  ``causal_bundle``, ``feature_*`` and ``cascade_*``; chosen in ``subjects``. Files for other runtimes: ``files``,
  ``card*``, ``samples``.
- A graph: ``trace`` makes it, ``parity`` and ``probe`` compare it with ``reference``; ``module`` and ``fusion`` are for
  anything else of tensors, ``rerank_half*`` for what a pipeline does behind its first stages.
- Other graphs made of it: ``variants`` lists them; ``quantize``, ``static_quantize``, ``half``, ``optimize``,
  ``weight_only`` make them; ``measured``, ``quality`` and ``latency`` say what they lose and gain.
- With torch: ``compiled`` and ``compile_cache`` (torch.compile), ``ahead_of_time`` and ``package_*`` (AOTInductor).
"""

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
from rankgrad.export.rerank_half import export_rerank_half
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
    "export_rerank_half",
    "halve_onnx",
    "load_compile_cache",
    "load_package",
    "optimize_onnx",
    "quantize_onnx",
    "quantize_static_onnx",
    "quantize_weights_onnx",
    "save_compile_cache",
]
