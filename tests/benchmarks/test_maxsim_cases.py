"""The MaxSim cases run from the command line on tiny shapes; what they stand on holds by formula."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import gpu_sanitize
from benchmarks.__main__ import main
from benchmarks.largest import largest, sizes
from benchmarks.machine import Environment
from benchmarks.maxsim_agreement import check, compare, exact
from benchmarks.maxsim_data import Shape, make
from benchmarks.maxsim_memory import QUERIES
from benchmarks.maxsim_providers import Provider
from benchmarks.maxsim_settings import BOTH, FORWARD, PEAK, PEAK_RATIO, QUERY, peak_ratio
from benchmarks.memory_peak import peak_growth
from benchmarks.parity import DisagreementError
from benchmarks.plot_lines import draw_lines
from benchmarks.record import Row, path_for, read, row, write
from benchmarks.roofline import Rates, limit

PEERS = {
    "PyLate": "pylate",
    "sentence-transformers": "sentence_transformers",
    "maxsim-cpu": "maxsim_cpu",
}
RATES = Rates(operations=790e12, bytes=4.3e12)
WHERE = Environment("A CPU, 2 cores", "3.11.7", "2.13.0", "1.32.0", "5.23.0", "absent", "abc1234", "2026-01-31")


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[[str], tuple[list[Row], str]]:
    """Makes the rows of a quick run, and what it and its workers write to the terminal."""

    def quick(case: str) -> tuple[list[Row], str]:
        status = main([case, "--quick", "--out", str(tmp_path)])
        written = capfd.readouterr()
        assert status == 0, written.out[-2000:] + written.err[-4000:]
        assert len(list(tmp_path.glob("*.png"))) == 1
        return read(next(tmp_path.glob(f"{case}--*.csv")))[0], written.out

    return quick


def providers(rows: list[Row], metric: str) -> set[str]:
    return {each.provider for each in rows if each.metric == metric}


def here(*peers: str) -> set[str]:
    """Those peers that are installed."""
    return {peer for peer in peers if find_spec(PEERS[peer]) is not None}


def largest_difference(rows: list[Row], metric: str) -> float:
    return max(each.p50 for each in rows if each.metric == metric)


def test_rerank(run: Callable[[str], tuple[list[Row], str]]) -> None:
    rows, output = run("maxsim_rerank")
    ours = {"rankgrad", "rankgrad, padded", "rankgrad, packed"}
    plain = {"einsum+amax", "matmul+amax, blocks of 64", "packed product, segment max"}
    assert providers(rows, QUERY.metric) == ours | plain | here(*PEERS)
    assert all((f"skipped: {peer}" in output) != (peer in here(peer)) for peer in PEERS)
    assert {each.setting for each in rows} == {
        "1 x 70, 4 x 24 tokens, fp32, 1 thread",
        "1 x 70, 4 x 8..24 tokens, fp32, 1 thread",
    }
    assert largest_difference(rows, "difference of scores") <= 1e-4


@pytest.mark.slow
def test_in_batch(run: Callable[[str], tuple[list[Row], str]]) -> None:
    rows, _ = run("maxsim_in_batch")
    expected = {"rankgrad, padded", "rankgrad, packed", "einsum+max, autograd"} | here(
        "PyLate", "sentence-transformers"
    )
    for metric in (FORWARD.metric, BOTH.metric, PEAK, PEAK_RATIO, "difference of gradients"):
        assert providers(rows, metric) == expected
    assert largest_difference(rows, "difference of scores") <= 1e-4


@pytest.mark.slow
def test_soft(run: Callable[[str], tuple[list[Row], str]]) -> None:
    rows, _ = run("maxsim_soft")
    for metric in (BOTH.metric, PEAK, PEAK_RATIO):
        assert providers(rows, metric) == {"rankgrad", "einsum+logsumexp, autograd"}
    assert providers(rows, FORWARD.metric) == set()
    assert largest_difference(rows, "difference of gradients") <= 1e-4


@pytest.mark.slow
def test_quantised(run: Callable[[str], tuple[list[Row], str]]) -> None:
    rows, _ = run("maxsim_quantised")
    ours = {"float32": 64, "int8": 20, "signs": 2, "residual, 4 bits": 12, "residual, 2 bits": 8}
    peers = {"packed product, segment max float32"} | {f"{peer} float32" for peer in here("maxsim-cpu")}
    assert providers(rows, QUERY.metric) == {f"rankgrad {form}" for form in ours} | peers
    sizes = {each.provider.removeprefix("rankgrad "): each.p50 for each in rows if each.unit == "bytes"}
    # 16 values a token: what each takes, the scale or the number of the centroid included.
    assert {form: sizes[form] for form in ours} == ours
    assert largest_difference(rows, "difference of scores") <= 1e-4


@pytest.mark.slow
def test_memory(run: Callable[[str], tuple[list[Row], str]]) -> None:
    rows, output = run("maxsim_memory")
    expected = {"rankgrad"} | here("PyLate", "sentence-transformers")
    assert providers(rows, "difference of the loss") == expected
    for each in rows:
        if each.metric == QUERIES:
            (peak,) = (
                other.p50
                for other in rows
                if (other.provider, other.setting, other.unit) == (each.provider, each.setting, "MiB")
            )
            assert peak <= float(each.setting.split()[0])
            assert f"trial, {each.provider}: {each.p50:g} queries take" in output


@given(st.floats(0.0, 3.0), st.floats(0.01, 3.0), st.floats(1.0, 1e5))
def test_largest_is_that_of_trying_all(linear: float, square: float, budget: float) -> None:
    among = sizes(4, 1 << 12)
    asked: list[float] = []

    def cost(size: int) -> float:
        asked.append(linear * size + square * size**2)
        return asked[-1]

    fitting = [size for size in among if linear * size + square * size**2 <= budget]
    assert largest(cost, budget, among) == (fitting[-1] if fitting else None)
    # Half a doubling from a size that fits costs at most 1.5 squared times as much.
    assert max(asked) <= max(2.25 * budget, asked[0]) * (1 + 1e-9)


def test_largest_refuses_sizes_that_all_fit() -> None:
    with pytest.raises(ValueError, match="size 7 fits the budget of 100; offer larger ones"):
        largest(float, 100.0, sizes(4, 7))


def test_embeddings_are_unit_vectors_with_positive_maxima() -> None:
    batch = make(Shape(2, 30, 5, 40, shortest=3, dim=64))
    assert batch.mask is not None
    assert batch.counts == batch.mask.sum(1).tolist()
    assert batch.packed.shape[0] == batch.offsets[-1] == sum(batch.counts)
    assert [len(rows) for rows in batch.arrays] == batch.counts
    assert batch.documents[~batch.mask].abs().max() == 0.0
    torch.testing.assert_close(batch.packed.norm(dim=-1), torch.ones(batch.packed.shape[0]))
    similarities = torch.einsum("qtd,nsd->qtns", batch.queries, batch.documents)
    assert similarities.masked_fill(~batch.mask, -1.0).amax(dim=-1).min() > 0.0


def _scores(factor: float, masked: bool) -> Provider:
    def scores(queries: torch.Tensor, documents: torch.Tensor, batch: object) -> torch.Tensor:
        similarities = factor * torch.einsum("qtd,nsd->qtns", queries, documents)
        mask = getattr(batch, "mask", None)
        if masked and mask is not None:
            similarities = similarities.masked_fill(~mask, float("-inf"))
        return similarities.max(dim=-1).values.sum(dim=1)

    return Provider("peer", scores)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.001, False)])
def test_agreement(factor: float, agrees: bool, gradients: bool) -> None:
    batch = make(Shape(3, 11, 5, 12, shortest=4, dim=64))
    wanted = exact(batch, torch.randn(3, 11), gradients=gradients)
    found = compare(_scores(factor, masked=True), batch, wanted)
    assert (found.gradients is not None) == gradients
    if agrees:
        check(_scores(factor, masked=True), batch, found)
    else:
        assert found.scores == pytest.approx(factor - 1.0, rel=0.05)
        with pytest.raises(DisagreementError, match=r"peer: scores differ by 0\.001"):
            check(_scores(factor, masked=True), batch, found)


def test_padding_that_wins_a_maximum_is_a_disagreement() -> None:
    batch = make(Shape(3, 11, 5, 12, shortest=4, dim=64))
    batch.queries = -batch.queries
    wanted = exact(batch, torch.randn(3, 11))
    check(_scores(1.0, masked=True), batch, compare(_scores(1.0, masked=True), batch, wanted))
    with pytest.raises(DisagreementError, match="peer: scores differ"):
        check(_scores(1.0, masked=False), batch, compare(_scores(1.0, masked=False), batch, wanted))


def test_peak_growth_is_what_is_allocated() -> None:
    assert peak_growth(lambda: np.ones(16 * 2**20)) == pytest.approx(128.0, abs=4.0)


def test_peak_ratio() -> None:
    shape = Shape(2, 3, 4, 5, dim=8)
    operands = 8 * (2 * 4 + 3 * 5) * 4
    outputs = operands + 4 * 2 * 3
    # Holding the gradients and the scores, and nothing else, is what must be.
    assert peak_ratio(shape, outputs / 2**20, element=4) == pytest.approx(1.0)


def test_limits_are_the_longer_of_traffic_and_arithmetic() -> None:
    rerank = limit(Shape(1, 1000, 32, 180), RATES)
    assert rerank == pytest.approx((2 * 128 * (32 + 1000 * 180) + 4 * 1000) / 4.3e12 * 1e6)
    product = 2 * 64 * 64 * 32 * 180 * 128 / 790e12 * 1e6
    assert limit(Shape(64, 64, 32, 180), RATES, gradient=True) == pytest.approx(product)
    assert limit(Shape(64, 64, 32, 180), RATES, backward=True, soft=True) == pytest.approx(3 * product)


def test_lines_are_drawn(tmp_path: Path) -> None:
    rows = [
        row("maxsim_memory", provider, f"{budget} MiB beyond the inputs, Q x 2Q", QUERIES, "queries", budget * factor)
        for provider, factor in (("rankgrad", 2), ("peer", 1))
        for budget in (32, 64)
    ]
    path = path_for(tmp_path, "maxsim_memory", WHERE.machine)
    write(path, rows, WHERE)
    assert draw_lines(path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("case", gpu_sanitize.CASES, ids=lambda case: case.name)
def test_what_the_sanitizer_runs_agrees_on_a_cpu(case: gpu_sanitize.Case) -> None:
    gpu_sanitize.check_maxsim(case, backend="auto", device="cpu")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", gpu_sanitize.FORMS)
def test_what_the_sanitizer_runs_of_codes_agrees_on_a_cpu(form: str, packed: bool) -> None:
    gpu_sanitize.check_quantised(form, packed=packed, backend="auto", device="cpu")
