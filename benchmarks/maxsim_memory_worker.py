"""A process that measures the memory of providers' training passes over one shape on a CPU."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.maxsim_data import make
from benchmarks.maxsim_settings import BOTH, Setting, parsed
from benchmarks.maxsim_worker import call_of
from benchmarks.memory_peak import peak_growth
from benchmarks.workers import answer

_SMALL = {"queries": 2, "documents": 3, "query_tokens": 4, "document_tokens": 8}


def work(job: dict[str, Any]) -> list[float]:
    """MiB of each provider at the peak of forward and backward beyond what is held before.

    What one leaves in the allocator is there for the next: for numbers that say something, name one.
    """
    setting = parsed(job["setting"])
    small = setting.shape._replace(**_SMALL, shortest=4 if setting.shape.shortest else 0)
    found = []
    for name in job["providers"]:
        _call(setting._replace(shape=small), name)()
        found.append(peak_growth(_call(setting, name)))
    return found


def _call(setting: Setting, name: str) -> Any:
    (provider,) = (each for each in setting.providers("cpu") if each.name == name)
    batch = make(setting.shape)
    # The forms that a batch makes when first asked for are inputs, not memory of the call.
    _ = batch.offsets, batch.packed if provider.packed else None
    return call_of(provider, batch, torch.randn(setting.shape.queries, setting.shape.documents), BOTH)


if __name__ == "__main__":
    answer(work)
