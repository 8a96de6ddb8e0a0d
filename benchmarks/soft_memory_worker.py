"""The memory of the soft-ranking cases on a CPU, in a process whose freed memory goes back to the system at once."""

from __future__ import annotations

import ctypes
import time
from typing import Any

from benchmarks.memory_peak import peak_growth
from benchmarks.soft_providers import Method, Provider, methods
from benchmarks.soft_settings import BOTH, Shape, shapes
from benchmarks.soft_worker import call_of, values
from benchmarks.workers import answer

_MMAP_THRESHOLD = -3
_BYTES = 1 << 16
# What would begin later than this is left out.
_BEGINS_WITHIN = 60.0


def work(job: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Provider, setting and MiB of all that were timed."""
    give_back_at_once()
    wanted = {tuple(each) for each in job["measured"]}
    begin, found = time.monotonic(), []
    for shape in shapes("cpu", quick=job["quick"]):
        for method in methods(job["case"], shape):
            named = shape.name(method.name, device="cpu", threads=job["threads"])
            for provider in method.providers:
                if (provider.name, named) not in wanted:
                    continue
                if time.monotonic() - begin > _BEGINS_WITHIN:
                    print(f"left out: memory of {provider.name}, {named}: no time left", flush=True)
                else:
                    found.append((provider.name, named, _growth(provider, method, shape)))
    return found


def give_back_at_once() -> None:
    """Let glibc map whatever is not small on its own, so that what a call holds does not depend on calls before."""
    try:
        ctypes.CDLL("libc.so.6").mallopt(_MMAP_THRESHOLD, _BYTES)
    except (OSError, AttributeError):
        print("memory: no glibc here; what was held before may hide what a call takes", flush=True)


def _growth(provider: Provider, method: Method, shape: Shape) -> float:
    temperature = method.temperature(shape.items)
    # What a first call loads or compiles is no memory of the call.
    call_of(provider, values(Shape(2, shape.items), "cpu"), temperature, BOTH)()
    return peak_growth(call_of(provider, values(shape, "cpu"), temperature, BOTH))


if __name__ == "__main__":
    answer(work)
