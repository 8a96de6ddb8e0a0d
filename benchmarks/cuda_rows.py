"""Rows of times on a GPU: calls from Python, and the same calls in CUDA graphs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from benchmarks.cuda_clock import Calls, graph, interleaved
from benchmarks.measure import spread
from benchmarks.record import Row, row

GRAPH = ", CUDA graph"


def rows_of_times(case: str, setting: str, metric: str, laps: Mapping[str, Calls], *, quick: bool) -> list[Row]:
    """Microseconds a call of each provider; its name and why are printed where it can be in no graph.

    Args:
        laps: the calls of a lap, by provider: one for each copy of the inputs.
    """
    graphs: dict[str, Calls] = {}
    for provider, lap in laps.items():
        try:
            graphs[provider] = [graph(lap)]
        except RuntimeError as error:
            torch.cuda.synchronize()
            print(f"no CUDA graph: {provider}, {setting}: {(str(error).splitlines() or [''])[0]}", flush=True)
    rounds = {"rounds": 2} if quick else {}
    samples = interleaved({**laps, **{provider + GRAPH: lap for provider, lap in graphs.items()}}, **rounds)
    rows = [
        row(case, provider, setting, metric, "us", spread(samples[provider]), len(samples[provider]))
        for provider in laps
    ]
    for provider in graphs:
        # A graph is a whole lap.
        each = [sample / len(laps[provider]) for sample in samples[provider + GRAPH]]
        rows.append(row(case, provider, setting, metric + GRAPH, "us", spread(each), len(each)))
    return rows
