"""Times on a GPU: between CUDA events, over inputs that the cache no longer holds, and in CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

_ROUNDS = 30
_SAMPLE_MICROSECONDS = 2000.0
_MOST_COPIES = 64

Calls = Sequence[Callable[[], object]]


def copies(nbytes: int) -> int:
    """How many inputs of that size, taken in turn, push each other out of the second-level cache."""
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    return min(max(-(-3 * cache // max(nbytes, 1)) + 1, 2), _MOST_COPIES)


def interleaved(laps: Mapping[str, Calls], *, rounds: int = _ROUNDS) -> dict[str, list[float]]:
    """Microseconds a call, by name; providers take turns within a round and each round begins with another.

    A sample is a number of laps between two events, at least 2 milliseconds of them, so it holds the time that Python
    and the driver take to launch wherever the GPU waits for them.

    Args:
        laps: the calls of a lap, by name: one for each copy of the inputs, or a single one that is a whole graph.
        rounds: samples of each.
    """
    names = list(laps)
    repeats = {}
    for name in names:
        _sample(laps[name], 1)
        once = _sample(laps[name], 1)
        repeats[name] = max(1, round(_SAMPLE_MICROSECONDS / max(once * len(laps[name]), 1e-3)))
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(_sample(laps[name], repeats[name]))
    return samples


def graph(lap: Calls) -> Callable[[], object]:
    """A lap as one CUDA graph: what is left is the time of the kernels and the gaps between them.

    Raises:
        RuntimeError: where a call does what a graph cannot hold, such as waiting for the GPU.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in lap:
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        for call in lap:
            call()
    captured.replay()
    torch.cuda.synchronize()
    return captured.replay


def _sample(lap: Calls, repeats: int) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        for call in lap:
            call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e3 / (repeats * len(lap))
