"""From a float graph to one whose weights take 4 bits."""

from __future__ import annotations

from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.export.graph_files import atomic_graph, read_graph, save_graph
from rankgrad.export.quantize import small_multiplications
from rankgrad.export.tools import quiet_tools, require_tool

BLOCK = 32
_INT8_ACTIVATIONS = 4


def quantize_weights_onnx(source: str | Path, target: str | Path, *, block_size: int = BLOCK) -> None:
    """Write a copy of a graph whose matrix multiplications read 4-bit weights and compute on float activations.

    Each ``block_size`` weights of an output channel have a scale and a zero point of their own: ``w = s (q - z)`` with
    ``q`` in 0 to 15. Only ``MatMul`` with a constant is touched; embedding tables, heads (``Gemm``) and matrices under
    a tenth of the size of the largest stay as they are. It is made for decoders, whose runs wait for weights to come
    from memory; a small encoder loses more quality by it than it gains time.

    Activations are rounded to 8 bits a block of a row, so a score does not depend on the rows it is run with.

    Args:
        source: an ONNX file.
        target: the file to write; its operator is ``com.microsoft.MatMulNBits``, of ONNX Runtime.
        block_size: weights that share a scale: a power of 2 of at least 16.

    Raises:
        InputError: for a graph without a multiplication to quantise, or a block size that the operator does not take.
        MissingExtraError: without onnx or onnxruntime.

    Reference:
        Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023,
        on weights of 4 bits; the rounding here is to nearest, by onnxruntime's ``MatMulNBitsQuantizer``.
    """
    if block_size < 16 or block_size & (block_size - 1):
        raise InputError(f"block_size={block_size}: pass a power of 2 of at least 16")
    tool = require_tool("onnxruntime.quantization.matmul_nbits_quantizer")
    model = read_graph(source)
    with quiet_tools():
        quantizer = tool.MatMulNBitsQuantizer(
            model,
            block_size=block_size,
            accuracy_level=_INT8_ACTIVATIONS,
            nodes_to_exclude=small_multiplications(model.graph),
        )
        quantizer.process()
    made = quantizer.model.model
    if not any(node.op_type == "MatMulNBits" for node in made.graph.node):
        raise InputError(f"{source}: no multiplication with a constant matrix, nothing to write in 4 bits")
    with atomic_graph(target) as temporary:
        save_graph(made, temporary)
