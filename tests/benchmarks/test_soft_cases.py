"""The soft-ranking cases run from the command line on tiny lists; what they stand on holds by formula."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks import soft_definitions as definitions
from benchmarks.parity import DisagreementError
from benchmarks.plot_curves import OTHERS, curve, draw, pictures
from benchmarks.record import Row, read
from benchmarks.soft_agreement import check, compare, exact
from benchmarks.soft_providers import Provider, methods
from benchmarks.soft_settings import BOTH, CASES, FORWARD, GRADIENTS, PEAK, VALUES, Shape, shapes, too_much

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"torchsort": "torchsort", "SoftTorch": "softtorch", "diffsort": "diffsort", "LapSum": "lapsum"}
EXPECTED = {
    "soft_rank": {
        "isotonic": {"rankgrad", "torchsort", "SoftTorch"},
        "isotonic kl": {"rankgrad", "torchsort"},
        "laplace": {"rankgrad", "LapSum", "plain torch"},
        "sigmoid": {"rankgrad", "plain torch"},
    },
    "soft_sort": {
        "isotonic": {"rankgrad", "torchsort", "SoftTorch"},
        "isotonic kl": {"rankgrad", "torchsort"},
        "laplace": {"rankgrad"},
        "softsort": {"rankgrad", "plain torch", "SoftTorch"},
        "neuralsort": {"rankgrad", "plain torch"},
        "sinkhorn": {"rankgrad"},
        "bitonic network": {"rankgrad", "SoftTorch", "diffsort"},
        "none (hard)": {"torch.sort"},
    },
    "soft_top_k": {
        "laplace": {"rankgrad", "LapSum"},
        "isotonic": {"rankgrad", "plain torch, halving"},
        "p_norm": {"rankgrad"},
        "neuralsort": {"rankgrad", "plain torch"},
    },
}


def here(provider: str) -> bool:
    return find_spec(PACKAGES.get(provider, "torch")) is not None


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_case(case: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", case, "--quick", "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    rows, _ = read(next(tmp_path.glob(f"{case}--*.csv")))
    assert len(list(tmp_path.glob("*.png"))) == 1
    for metric in (FORWARD.metric, BOTH.metric, PEAK, VALUES, GRADIENTS):
        assert by_method(rows, metric) == {
            method: {name for name in providers if here(name)} for method, providers in EXPECTED[case].items()
        }
    assert max(each.p50 for each in rows if each.metric == VALUES) <= 1e-4
    for name in set.union(*EXPECTED[case].values()):
        assert (f"skipped: {name}" in done.stdout) != here(name)


def by_method(rows: list[Row], metric: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in rows:
        if each.metric == metric:
            shape, method, *_ = each.setting.split(", ")
            assert shape == "3 x 16"
            name = next((peer for peer, package in PACKAGES.items() if each.provider.startswith(f"{peer} ")), None)
            assert name is None or each.provider == f"{name} {version(PACKAGES[name])}"
            found.setdefault(method, set()).add(name or each.provider)
    return found


def test_definitions_give_the_worked_values() -> None:
    x, places = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64), torch.arange(3)
    # How far a value is from being above another, at a distance of two and of one.
    far, near = 0.5 * torch.tensor([-2.0, -1.0]).double().exp()
    torch.testing.assert_close(
        definitions.laplace_rank(x, places, 1.0), torch.stack([1 + far + near, x[0], 3 - far - near])
    )
    torch.testing.assert_close(
        definitions.isotonic_rank(torch.tensor([3.0, 1.0, 0.9]).double(), places, 0.2),
        torch.tensor([1.0, 2.25, 2.75]).double(),
    )
    torch.testing.assert_close(
        definitions.isotonic_sort(torch.tensor([2.0, 5.0, 3.0]).double(), places, 1.0),
        torch.tensor([13.0, 10.0, 7.0]).double() / 3,
    )
    for share, expected in (
        (definitions.laplace, [0.645312, 0.259298, 0.095390]),
        (definitions.box, [1.0, 0.0, 0.0]),
    ):
        found = definitions.weights(share, 1, x, places, 1.0)
        torch.testing.assert_close(found, torch.tensor(expected).double(), atol=1e-6, rtol=0.0)
    cubed = definitions.weights(partial(definitions.box, power=3.0), 1, x * 0.75, places, 1.0)
    torch.testing.assert_close(cubed.sum(), torch.tensor(1.0).double())


@pytest.mark.parametrize("case", CASES)
def test_definitions_are_differentiated_right(case: str) -> None:
    x = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    places = torch.tensor([0, 3, 6])
    for method in methods(case, Shape(1, 7)):
        torch.autograd.gradcheck(partial(method.definition, places=places, temperature=0.7), x, atol=1e-6)


@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.001, False)])
def test_agreement(factor: float, agrees: bool) -> None:
    x = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    wanted = exact(definitions.sigmoid_rank, x, 0.1)
    plain = methods("soft_rank", Shape(4, 50))[-1].providers[-1]
    provider = Provider("peer", lambda x, temperature: factor * plain.call(x, temperature))
    found = compare(provider, x, 0.1, wanted)
    if agrees:
        check(provider, found)
    else:
        assert found.values == pytest.approx(0.001, rel=0.05)
        with pytest.raises(DisagreementError, match=r"peer: values differ by 0\.001"):
            check(provider, found)


def test_a_wrong_gradient_is_a_disagreement() -> None:
    x = torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
    provider = Provider("peer", lambda x, temperature: x.sort(descending=True).values + 0.1 * (x - x.detach()))
    found = compare(provider, x, 0.1, exact(definitions.hard_sort, x, 0.1))
    with pytest.raises(DisagreementError, match="peer: gradients differ"):
        check(provider, found)


def test_shapes_that_are_quoted_come_first_and_nothing_is_begun_that_is_too_much() -> None:
    found = shapes("cpu", quick=False)
    assert found[:2] == [Shape(64, 1000), Shape(8, 10000)]
    assert len(found) == len(set(found)) == 26
    assert [each for each in found[:2] if too_much(each, 0.0, device="cpu")] == []
    assert too_much(Shape(64, 1000), 1.0, device="cpu") == ""
    assert "pairs" in too_much(Shape(8, 10000), 1.0, device="cpu")


def test_curves_are_drawn(tmp_path: Path) -> None:
    path = draw(pictures()[-1], tmp_path)
    assert path.name == "soft_top_k_curves.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_curves_are_those_of_the_moving_item() -> None:
    moving, values, slopes = curve(pictures()[0].methods["sigmoid"], 0.5, 0)
    others = torch.tensor(OTHERS, dtype=moving.dtype)
    shares = ((others - moving[:, None]) / 0.5).sigmoid()
    torch.testing.assert_close(values, 1 + shares.sum(dim=1))
    torch.testing.assert_close(slopes, -(shares * (1 - shares)).sum(dim=1) / 0.5)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "ops").glob("*_curves.png")), ids=lambda path: path.stem)
def test_committed_pictures_are_small(path: Path) -> None:
    assert path.stat().st_size < 150_000
