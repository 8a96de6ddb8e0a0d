"""Every kernel becomes machine code for GPUs that need not be here, with the instructions meant and without waste."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, TypeAlias

import pytest

Build: TypeAlias = Callable[[str, str], list[dict[str, Any]]]
FOLDER = Path(__file__).parent
# Shared memory a program may have, in bytes: CUDA C++ Programming Guide, technical specifications; AMD CDNA 3 ISA.
SHARED = {"sm_80": 163 << 10, "sm_90": 227 << 10, "sm_100": 227 << 10, "gfx942": 64 << 10}
# 16-bit matrix products of at least 64 rows. sm_90 has warp-group products, sm_100 its own.
INSTRUCTION = {"sm_80": "mma.sync", "sm_90": "wgmma.mma_async", "sm_100": "tcgen05.mma", "gfx942": "v_mfma"}
GATHERS = "_maxsim_backward_queries_kernel"
# Room for a few scalars kept from before a loop; a spilled tile takes hundreds of bytes a thread.
FEW_BYTES = 64


@pytest.fixture(scope="module")
def built() -> Iterator[Build]:
    """What a script says of its kernels on a target, from one process that compiles instead of interpreting."""
    pytest.importorskip("triton")
    variables = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    variables |= {"TRITON_DEFAULT_FP_FUSION": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(FOLDER / "build_on_request.py")]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=variables) as process:
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def build(script: str, target: str) -> list[dict[str, Any]]:
            print(script, target, file=requests, flush=True)
            answer = answers.readline()
            assert answer, f"the process that compiles ended with {process.wait()}"
            rows = json.loads(answer)
            assert isinstance(rows, list), rows["error"]
            for row in rows:
                assert row["size"] > 0, row
                assert row["shared"] <= SHARED[target], row
                assert (row["spilled"] or 0) <= FEW_BYTES, row
            return rows

        yield build
        requests.close()


@pytest.mark.parametrize("target", SHARED)
def test_maxsim(built: Build, target: str) -> None:
    rows = built("maxsim_launches.py", target)
    assert {row["kernel"] for row in rows} == {
        "_maxsim_forward_kernel",
        "_maxsim_backward_documents_kernel",
        GATHERS,
        "_maxsim_soft_backward_queries_kernel",
    }
    for row in rows:
        # One query of 32 tokens has fewer rows than a warp group multiplies; its time goes into reading.
        few_rows = row["kernel"] == "_maxsim_forward_kernel" and row["variant"].startswith(("rerank", "candidates"))
        if row["kernel"] == GATHERS:
            assert row["instructions"] == [], row
        elif "exact" in row["variant"] and target != "gfx942":
            # NVIDIA's tensor cores would round float32; AMD's have an instruction for it.
            assert row["instructions"] == [], row
        elif few_rows or "tf32" in row["variant"]:
            assert row["instructions"], row
        else:
            assert INSTRUCTION[target] in row["instructions"], row


@pytest.mark.parametrize("target", SHARED)
def test_maxsim_quantised(built: Build, target: str) -> None:
    rows = built("maxsim_quantised_launches.py", target)
    assert {row["kernel"] for row in rows} == {"_maxsim_quantised_kernel"}
    for row in rows:
        rounded = "exact" not in row["variant"] or target == "gfx942"
        assert bool(row["instructions"]) == rounded, row


@pytest.mark.parametrize("target", SHARED)
def test_isotonic(built: Build, target: str) -> None:
    rows = built("isotonic_launches.py", target)
    assert {row["kernel"] for row in rows} == {"_isotonic_blocks_kernel", "_isotonic_block_sum_kernel"}


@pytest.mark.parametrize("target", SHARED)
def test_soft_rank(built: Build, target: str) -> None:
    rows = built("soft_rank_launches.py", target)
    assert {row["kernel"] for row in rows} == {"_pairwise_rank_forward_kernel", "_pairwise_rank_backward_kernel"}
    for row in rows:
        assert row["size"] > 0, row
        assert row["shared"] <= 4096, row
        assert not row["spilled"], row


@pytest.mark.parametrize("target", SHARED)
def test_laplace(built: Build, target: str) -> None:
    rows = built("laplace_launches.py", target)
    assert {row["kernel"] for row in rows} == {
        "_laplace_rank_kernel",
        "_laplace_rank_backward_kernel",
        "_laplace_long_rank_kernel",
        "_laplace_long_rank_backward_kernel",
        "_laplace_scan_kernel",
        "_laplace_carry_kernel",
        "_sorted_order_kernel",
    }
    for row in rows:
        # Nothing of a sort leaves the registers but what threads exchange.
        assert row["kernel"] != "_sorted_order_kernel" or (row["shared"] <= 8192 and not row["spilled"]), row


@pytest.mark.parametrize("target", SHARED)
def test_scans(built: Build, target: str) -> None:
    rows = built("scans_launches.py", target)
    assert {row["kernel"] for row in rows} == {
        "_reverse_logcumsumexp_forward_kernel",
        "_reverse_logcumsumexp_backward_kernel",
    }


@pytest.mark.parametrize("target", SHARED)
def test_relaxed_permutation(built: Build, target: str) -> None:
    rows = built("relaxed_permutation_launches.py", target)
    assert {row["kernel"] for row in rows} == {
        "_laplace_product_kernel",
        "_laplace_total_kernel",
        "_relaxed_permutation_product_kernel",
    }


@pytest.mark.parametrize("target", SHARED)
def test_sinkhorn(built: Build, target: str) -> None:
    rows = built("sinkhorn_launches.py", target)
    assert {row["kernel"] for row in rows} == {"_transport_product_kernel"}
    for row in rows:
        assert row["shared"] <= 16384, row
        # NVIDIA's tensor cores would round float32; AMD's have an instruction for it.
        assert bool(row["instructions"]) == (target == "gfx942" and "vectors" in row["variant"]), row


@pytest.mark.parametrize("target", SHARED)
def test_sorting_network(built: Build, target: str) -> None:
    rows = built("sorting_network_launches.py", target)
    assert {row["kernel"] for row in rows} == {
        "_network_wires_kernel",
        "_network_wires_backward_kernel",
        "_network_push_kernel",
        "_network_push_backward_kernel",
    }
    for row in rows:
        # A list, once, for partners that are in other warps.
        assert row["shared"] <= 8192, row
        assert not row["spilled"], row


@pytest.mark.parametrize("target", SHARED)
def test_pairwise_loss(built: Build, target: str) -> None:
    rows = built("pairwise_loss_launches.py", target)
    assert {row["kernel"] for row in rows} == {"_pairwise_loss_kernel"}
    for row in rows:
        assert row["shared"] <= 4096, row
        assert not row["spilled"], row
