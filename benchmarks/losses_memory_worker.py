"""The memory of the losses case on a CPU, in a process whose freed memory goes back to the system at once."""

from __future__ import annotations

from typing import Any

from benchmarks.losses_providers import both_ways, labelled, lists
from benchmarks.losses_worker import candidates, settings
from benchmarks.memory_peak import peak_growth
from benchmarks.soft_memory_worker import give_back_at_once
from benchmarks.workers import answer


def work(job: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Provider, setting and MiB of all that were timed."""
    give_back_at_once()
    wanted = {tuple(each) for each in job["measured"]}
    found = []
    for setting in settings("cpu", threads=job["threads"], quick=job["quick"]):
        for provider in candidates(setting, "cpu"):
            name = labelled(provider)
            if (name, setting.named) in wanted:
                # What a first call loads is no memory of the call.
                both_ways(provider, lists(setting.loss, 2, setting.items, "cpu"))()
                call = both_ways(provider, lists(setting.loss, setting.batch, setting.items, "cpu"))
                found.append((name, setting.named, peak_growth(call)))
    return found


if __name__ == "__main__":
    answer(work)
