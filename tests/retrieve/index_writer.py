"""A program that writes indexes while it is killed, and reads what is left: ``python index_writer.py FOLDER``.

First fifty kills after random times, then one before every change of the file system that one write makes. It prints a
line a kill: how it was killed, the version that was there before, the one found afterwards, whether it came to its end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from rankgrad.modules import Muvera
from rankgrad.retrieve import LateInteractionRetriever
from rankgrad.types import PackedTokens

CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"}
KILLS = 50


def retriever(documents: int) -> LateInteractionRetriever:
    """Of so many documents of a token each."""
    packed = PackedTokens(torch.eye(40)[:documents], torch.arange(documents + 1))
    muvera = Muvera(40, repetitions=1, partition_bits=1, projection_dim=4)
    return LateInteractionRetriever(None, embeddings=packed, muvera=muvera)  # type: ignore[arg-type]


def read(folder: Path) -> int:
    """The version there; what is there must be all of it."""
    found = LateInteractionRetriever.load(folder, None)  # type: ignore[arg-type]
    version = found.notes["version"]
    documents = 3 + version % 30
    assert found.documents == documents, "settings of one version, tensors of another"
    ranking = found.rank_vectors(torch.eye(40)[None, documents - 1 : documents], None, 1)
    assert ranking.ids.tolist() == [[documents - 1]], "not the documents of this version"
    return version


def write(folder: Path, version: int) -> None:
    VERSIONS[version % 30].save_index(folder, notes={"version": version})


def killed(folder: Path, first: int, *, after: float | None = None, change: int | None = None) -> bool:
    """Fork a writer of versions from ``first`` on, and kill it after some seconds or before a change; was it killed?"""
    child = os.fork()
    if child == 0:
        try:
            seen = [0]

            def count(event: str, arguments: tuple[object, ...]) -> None:
                if event in CHANGES and (event != "open" or (isinstance(arguments[2], int) and arguments[2] & 3)):
                    seen[0] += 1
                    if seen[0] == change:
                        os.kill(os.getpid(), signal.SIGKILL)

            if change is not None:
                sys.addaudithook(count)
                write(folder, first)
                os._exit(0)
            for version in range(first, first + 100_000):
                write(folder, version)
        finally:
            os._exit(1)
    if after is not None:
        end = time.perf_counter() + after
        try:
            while time.perf_counter() < end:
                read(folder)  # beside the writer at work
        finally:
            os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the writer failed"
    return os.WIFSIGNALED(status)


VERSIONS = [retriever(3 + place) for place in range(30)]


def main() -> None:
    folder, chance = Path(sys.argv[1]), random.Random(0)
    start = time.perf_counter()
    write(folder, 0)
    write(folder, 1)
    a_write = (time.perf_counter() - start) / 2
    before, change = 1, 0
    for turn in range(1000):
        how = "random" if turn < KILLS else "change"
        if how == "random":
            ended = not killed(folder, before + 1, after=chance.uniform(0.0, 5 * a_write))
        else:
            change += 1
            ended = not killed(folder, before + 1, change=change)
        found = read(folder)
        sys.stdout.write(json.dumps({"how": how, "before": before, "found": found, "ended": ended}) + "\n")
        before = found
        if ended:
            break


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
