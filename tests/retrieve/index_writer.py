"""A program that writes indexes while it is killed, and reads what is left: ``python index_writer.py FOLDER``.

First fifty kills, each a random while after a random number of whole writes, then one before every change of the file
system that one write makes. It prints a line a kill: how it was killed, the version that was there before, how many
writes it was left, the version found afterwards, whether it came to its end.
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
PATIENCE = 60.0  # seconds without a word from a writer


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


def killed(folder: Path, first: int, *, kill_at: int) -> bool:
    """Fork a writer of version ``first`` that is killed before one of its changes; was it?"""
    child = os.fork()
    if child == 0:
        try:
            seen = [0]

            def count(event: str, arguments: tuple[object, ...]) -> None:
                if event in CHANGES and (event != "open" or (isinstance(arguments[2], int) and arguments[2] & 3)):
                    seen[0] += 1
                    if seen[0] == kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            write(folder, first)
            os._exit(0)
        finally:
            os._exit(1)
    return _was_killed(child)


def killed_at_work(folder: Path, first: int, *, writes: int, seconds: float) -> bool:
    """Fork a writer of versions from ``first`` on, kill it so long after so many writes; was it killed?

    The index is read all the time beside the writer. The writer tells of each whole write through a pipe, so that a
    slow machine gets as far as a fast one.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for version in range(first, first + 100_000):
                write(folder, version)
                os.write(tell, b".")
        finally:
            os._exit(1)
    os.close(tell)
    os.set_blocking(told, False)
    try:
        done, give_up = 0, time.perf_counter() + PATIENCE
        while done < writes:
            read(folder)
            try:
                news = os.read(told, 100)
            except BlockingIOError:
                news = b"" if time.perf_counter() > give_up else None
            assert news != b"", f"the writer told of {done} writes and of no more"
            done += len(news or b"")
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            read(folder)
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(told)
        was_killed = _was_killed(child)
    return was_killed


def _was_killed(child: int) -> bool:
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
    before = 1
    for turn in range(1000):
        writes = chance.randrange(3) if turn < KILLS else 0
        if turn < KILLS:
            ended = not killed_at_work(folder, before + 1, writes=writes, seconds=chance.uniform(0.0, 2 * a_write))
        else:
            ended = not killed(folder, before + 1, kill_at=turn - KILLS + 1)
        found = read(folder)
        how = "random" if turn < KILLS else "change"
        line = {"how": how, "before": before, "writes": writes, "found": found, "ended": ended}
        sys.stdout.write(json.dumps(line) + "\n")
        before = found
        if ended:
            break


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
