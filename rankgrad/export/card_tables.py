"""The tables of a card: files, agreement, quality, latency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

PURPOSE = {
    "fp32": "float32, agrees with torch to the tolerance below",
    "int8": "8-bit weights, activations scaled at run time",
    "int8-static": "8-bit weights, activations scaled as on the calibration texts",
    "fp16": "half precision, for GPUs",
    "optimized": "float32 with fused operators of ONNX Runtime",
    "int4": "4-bit weights in blocks",
}


def files_table(content: dict[str, Any]) -> str:
    """The graphs: what each is, its size, its checksum."""
    rows = []
    for variant, graph in content["graphs"].items():
        purpose = PURPOSE[variant] if graph.get("fit", True) else f"{PURPOSE[variant]}; **unfit**, see Quality"
        size, digest = f"{graph['bytes'] / 2**20:.1f}", f"`{graph['sha256']}`"
        rows.append((variant, f"`{graph['file']}`", purpose, size, digest))
        if "data" in graph:
            rows.append(_data_row(graph["data"]))
    return table(("variant", "file", "what it is", "MiB", "SHA-256"), rows)


def _data_row(data: dict[str, Any]) -> tuple[str, ...]:
    what = "its weights, which do not fit into one file: keep both in one folder"
    return "", f"`{data['file']}`", what, f"{data['bytes'] / 2**20:.1f}", f"`{data['sha256']}`"


def separate_table(content: dict[str, Any]) -> str:
    """The graphs of a ColBERT's encoders and of MaxSim; empty where they are not apart."""
    separate = content.get("separate_graphs")
    if separate is None:
        return ""
    rows = []
    for graph in separate.values():
        sides = (", ".join(f"`{each}`" for each in graph[side]) for side in ("inputs", "outputs"))
        rows.append((f"`{graph['file']}`", *sides, f"{graph['bytes'] / 2**20:.1f}", f"`{graph['sha256']}`"))
        if "data" in graph:
            _, file, *rest = _data_row(graph["data"])
            rows.append((file, rest[0], "", *rest[1:]))
    return f"""
{table(("file", "takes", "gives", "MiB", "SHA-256"), rows)}

These three, in float32, are the same model with its encoders apart: masks, expansion, skipped tokens and weights are
inside, and MaxSim takes what they give. In a row they agree with torch to {separate["maxsim"]["difference"]:.1e}.
"""


def scores_table(content: dict[str, Any]) -> str:
    """How far each graph's scores and orders are from torch's."""
    rows = []
    for variant in content["graphs"]:
        found = content["parity"][variant]
        rows.append(
            (
                variant,
                f"{found['score_difference']:.2g}",
                f"{found['score_spread']:.2g}",
                f"{found['kendall_tau']:.3f}",
                f"{found['batch_dependence']:.2g}",
                f"{found['padding_dependence']:.2g}",
            )
        )
    head = ("variant", "largest score difference", "spread of scores", "Kendall tau", "batch dependence")
    return table((*head, "padding dependence"), rows)


def quality_section(content: dict[str, Any]) -> str:
    """nDCG@10 of each graph; empty where none was measured."""
    quality = content.get("quality")
    if quality is None:
        return ""
    rows = [("torch", f"{quality['torch']:.4f}", "", "")]
    for variant, found in quality["variants"].items():
        verdict = "fit" if found["fit"] else f"**unfit**: loses more than {quality['tolerance']:g}"
        rows.append((variant, f"{found['ndcg']:.4f}", f"{found['loss']:+.2f}", verdict))
    return f"""
## Quality

{table(("variant", "nDCG@10", "points lost", "verdict"), rows)}

The mean over {quality["queries"]} judged queries with {quality["documents"]} documents to put in order. A variant that
loses more than {quality["tolerance"]:g} points (hundredths of nDCG) is unfit.
"""


def latency_section(content: dict[str, Any]) -> str:
    """Milliseconds a document."""
    latency = content["latency"]
    rows = [
        (variant, *(f"{each[name]:.2f}" for name in ("fastest", "median", "slowest")))
        for variant, each in latency["variants"].items()
    ]
    note = " ONNX Runtime casts around the operators for which a CPU has no half precision: the fp16 graph is for GPUs."
    return f"""{table(("variant", "fastest", "median", "slowest"), rows)}

Milliseconds a document, where one query ranks {latency["documents"]} of them on {latency["threads"]} thread of
{latency["cpu"]}, ONNX Runtime {latency["onnxruntime"]}.{note if "fp16" in latency["variants"] else ""}"""


def fused_line(content: dict[str, Any]) -> str:
    """Which operators the optimized graph has fused; empty where there is none."""
    fused = content["graphs"].get("optimized", {}).get("fused", {})
    if not fused:
        return ""
    listed = ", ".join(f"{count} {name}" for name, count in fused.items())
    return f"\nFused in the optimized graph: {listed}. Only ONNX Runtime reads these operators.\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    Example:
        >>> print(table(("a", "b"), [("1", "2")]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
