"""Codecs: what comes back, how far from what went in, in how many bytes, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import maxsim, maxsim_quantised
from rankgrad.retrieve import Float16Codec, Int8Codec, ResidualCodec, SignCodec

DIM = 128


def unit_vectors(*shape: int, seed: int = 0) -> Tensor:
    """Points around twenty directions, as token embeddings lie around the meanings of words."""
    directions = torch.randn(20, shape[-1], generator=torch.Generator().manual_seed(20))
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(0, 20, shape[:-1], generator=generator)
    return normalize(directions[places] + torch.randn(shape, generator=generator) / 2, dim=-1)


def residual(bits: int, **options: Any) -> ResidualCodec:
    return ResidualCodec.fit(
        unit_vectors(2000, DIM), centroids=64, bits=bits, generator=torch.Generator().manual_seed(3), **options
    )


CODECS: dict[str, tuple[Callable[[], Any], int]] = {
    "float16": (Float16Codec, 256),
    "int8": (Int8Codec, 132),
    "sign": (SignCodec, 16),
    "residual-1": (lambda: residual(1), 20),
    "residual-2": (lambda: residual(2), 36),
    "residual-4": (lambda: residual(4), 68),
}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Any:
    return CODECS[request.param][0]()


@pytest.mark.parametrize("name", CODECS)
def test_bytes_a_token(name: str) -> None:
    make, expected = CODECS[name]
    codec, embeddings = make(), unit_vectors(50, DIM)
    tokens = codec.encode(embeddings)
    stored = [tokens] if isinstance(tokens, Tensor) else [part for part in tokens if isinstance(part, Tensor)]
    # Centroids and weights are the codec's own, one for all tokens.
    stored = [part for part in stored if part.shape[:1] == (50,)]
    assert sum(part.nbytes for part in stored) == 50 * expected
    assert codec.bytes_per_token(DIM) == expected


def test_leading_axes_are_batch(codec: Any) -> None:
    embeddings = unit_vectors(3, 5, DIM)
    decoded = codec.decode(codec.encode(embeddings))
    assert (decoded.shape, decoded.dtype) == (embeddings.shape, torch.float32)
    assert_close(decoded.flatten(0, 1), codec.decode(codec.encode(embeddings.flatten(0, 1))))
    assert_close(decoded[1, 2], codec.decode(codec.encode(embeddings[1, 2])))
    assert codec.decode(codec.encode(embeddings[:0])).shape == (0, 5, DIM)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(codec: Any, dtype: torch.dtype) -> None:
    embeddings = unit_vectors(9, DIM).to(dtype)
    assert_close(codec.decode(codec.encode(embeddings)), codec.decode(codec.encode(embeddings.float())))


@pytest.mark.parametrize("name", sorted(CODECS.keys() - {"float16"}))
def test_tokens_are_scored_as_what_they_decode_to(name: str) -> None:
    codec = CODECS[name][0]()
    queries, tokens = unit_vectors(2, 5, DIM, seed=1), codec.encode(unit_vectors(7, 11, DIM))
    expected = maxsim(queries, codec.decode(tokens))
    assert_close(maxsim_quantised(queries, tokens), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32, allow_subnormal=False), min_size=8, max_size=8))
def test_int8_is_off_by_half_a_step_at_most(values: list[float]) -> None:
    embeddings = torch.tensor([values])
    tokens = Int8Codec().encode(embeddings)
    assert_close(tokens.scales, embeddings.abs().amax(dim=1) / 127)
    off = (Int8Codec().decode(tokens) - embeddings).abs()
    assert (off <= tokens.scales / 2 * (1 + 1e-5) + 1e-37).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-6e4, 6e4, width=32), min_size=8, max_size=8))
def test_float16_is_off_by_half_a_unit_in_the_last_place(values: list[float]) -> None:
    embeddings = torch.tensor(values)
    off = (Float16Codec().decode(Float16Codec().encode(embeddings)) - embeddings).abs()
    assert (off <= (embeddings.abs() * 2**-11).clamp(min=2**-25)).all()


def test_a_token_of_zeros_stays_one() -> None:
    for codec in (Int8Codec(), Float16Codec()):
        assert (codec.decode(codec.encode(torch.zeros(2, 8))) == 0).all()


def test_signs_lie_as_numpy_packs_them() -> None:
    embeddings = torch.randn(5, 24)
    embeddings[0, 3] = 0.0
    tokens = SignCodec().encode(embeddings)
    assert tokens.bits.tolist() == np.packbits(embeddings.numpy() > 0, axis=-1).tolist()
    assert_close(SignCodec().decode(tokens), torch.where(embeddings > 0, 1.0, -1.0))
    zero_one = SignCodec(zero_one=True)
    assert_close(zero_one.decode(zero_one.encode(embeddings)), (embeddings > 0).float())


def test_residuals_lie_as_the_colbert_authors_pack_them() -> None:
    """Bits of a bucket's number from the lowest, then packed from a byte's highest bit down."""
    centroids, cutoffs = torch.zeros(1, 8), torch.tensor([-1.0, 0.0, 1.0])
    weights = torch.tensor([-1.5, -0.5, 0.5, 1.5])
    codec = ResidualCodec(centroids, cutoffs, weights, normalise=False)
    embeddings = torch.tensor([[-9.0, -0.1, 0.1, 9.0, 0.0, 1.0, -1.0, 2.0]])
    buckets = np.array([0, 1, 2, 3, 1, 2, 0, 3], dtype=np.uint8)
    tokens = codec.encode(embeddings)
    assert tokens.codes.tolist() == [np.packbits(buckets[:, None] >> np.arange(2) & 1).tolist()]
    assert_close(codec.decode(tokens), weights[torch.from_numpy(buckets).long()][None])


def test_every_token_takes_its_nearest_centroid() -> None:
    codec, embeddings = residual(2), unit_vectors(40, DIM, seed=4)
    expected = torch.cdist(embeddings, codec.centroids).argmin(dim=1)
    assert codec.encode(embeddings).centroid_ids.tolist() == expected.tolist()


def share_left(bits: int) -> float:
    """The part of a normal variable's variance that buckets of equal probability leave, each its median."""
    normal, count = torch.distributions.Normal(0.0, 1.0), 2**bits
    values = normal.icdf((torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1e6)
    cutoffs = normal.icdf(torch.arange(1, count, dtype=torch.float64) / count)
    medians = normal.icdf((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    return float((values - medians[torch.bucketize(values, cutoffs)]).square().mean())


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("normalise", [True, False])
def test_buckets_leave_the_share_of_the_variance_they_must(bits: int, normalise: bool) -> None:
    codec, embeddings = residual(bits, normalise=normalise), unit_vectors(300, DIM, seed=2)
    off = (codec.decode(codec.encode(embeddings)) - embeddings).square().sum(dim=1).mean().item()
    centroid_alone = torch.cdist(embeddings, codec.centroids).amin(dim=1).square().mean().item()
    assert off / centroid_alone == pytest.approx(share_left(bits), rel=0.05)
    if normalise:
        assert_close(codec.decode(codec.encode(embeddings)).norm(dim=-1), torch.ones(300))


def test_buckets_hold_equally_many_residuals() -> None:
    embeddings = unit_vectors(4000, 16)
    codec = ResidualCodec.fit(embeddings, centroids=20, bits=2)
    tokens = codec.encode(embeddings)
    residuals = embeddings - codec.centroids[tokens.centroid_ids.long()]
    shares = torch.bucketize(residuals, codec.bucket_cutoffs).flatten().bincount() / residuals.numel()
    assert_close(shares, torch.full((4,), 0.25), rtol=0.0, atol=0.03)
    lower, upper = codec.bucket_weights[:-1], codec.bucket_weights[1:]
    assert ((lower < codec.bucket_cutoffs) & (codec.bucket_cutoffs < upper)).all()


def test_centroids_of_separate_groups_are_their_means() -> None:
    groups = torch.eye(8)[torch.arange(400) % 2] + torch.randn(400, 8) / 100
    codec = ResidualCodec.fit(groups, centroids=2, bits=2, normalise=False, iterations=10)
    assert_close(codec.centroids.sort(dim=0, descending=True).values[0, :2], torch.ones(2), rtol=0.0, atol=0.01)
    assert_close(codec.centroids.sum(dim=1), torch.ones(2), rtol=0.0, atol=0.02)


def test_the_generator_decides() -> None:
    first, second, other = (
        ResidualCodec.fit(unit_vectors(200, 16), centroids=9, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.centroids, second.centroids)
    assert not torch.equal(first.centroids, other.centroids)


def test_state_is_in_buffers() -> None:
    codec, embeddings = residual(2), unit_vectors(6, DIM)
    state = codec.state_dict()
    other = ResidualCodec(
        *(torch.zeros_like(state[name]) for name in ("centroids", "bucket_cutoffs", "bucket_weights"))
    )
    other.load_state_dict(state)
    assert_close(other.decode(other.encode(embeddings)), codec.decode(codec.encode(embeddings)))
    assert codec.half().encode(embeddings).centroids.dtype == torch.float16


def test_scores_follow_those_of_exact_embeddings() -> None:
    queries, documents = unit_vectors(8, 16, DIM, seed=5), unit_vectors(60, 30, DIM, seed=6)
    exact = maxsim(queries, documents)
    codec = ResidualCodec.fit(documents.flatten(0, 1), centroids=64, bits=4)
    for each in (Int8Codec(), codec):
        scores = maxsim_quantised(queries, each.encode(documents))
        agreement = torch.corrcoef(torch.stack([scores.flatten(), exact.flatten()]))[0, 1]
        assert agreement > 0.99


@pytest.mark.parametrize(
    ("embeddings", "error", "message"),
    [
        (torch.zeros(2, 12), InputError, "embeddings: expected a dim that is a multiple of 8, at most 1024, got 12"),
        (torch.full((2, DIM), math.nan), InputError, "embeddings: expected finite values, got NaN or infinity"),
        (torch.full((2, DIM), -math.inf), InputError, "embeddings: expected finite values"),
        (torch.zeros(2, DIM, dtype=torch.long), TypeError, r"embeddings: expected a floating-point.*\.float\(\)"),
        (torch.tensor(1.0), InputError, "embeddings: expected .* without axes"),
    ],
)
def test_encode_refuses(codec: Any, embeddings: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        codec.encode(embeddings)
    if embeddings.dim() == 2:
        with pytest.raises(error, match=message):
            ResidualCodec.fit(embeddings, centroids=1)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((0, 8), {"centroids": 1}, "centroids: expected 1 to 0"),
        ((40, 8), {"centroids": 39}, "centroids: expected 1 to 38.*got 39; give more embeddings"),
        ((40, 8), {"centroids": 0}, "centroids: expected 1 to 38"),
        ((40, 8), {"centroids": 4, "bits": 3}, "bits: expected 1, 2 or 4, got 3"),
        ((4, 10, 8), {"centroids": 4}, r"embeddings: expected \[tokens, dim\], got \[4, 10, 8\]"),
    ],
)
def test_fit_refuses(shape: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ResidualCodec.fit(torch.randn(shape), **options)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((0, 8), (3,), (4,)), "centroids: expected at least one"),
        (((2, 8), (3,), (5,)), "bucket_weights: expected 2, 4 or 16"),
        (((2, 8), (3,), (0,)), "bucket_weights: expected 2, 4 or 16"),
        (((2, 8), (4,), (4,)), r"bucket_cutoffs: expected \[3\], one fewer than bucket_weights"),
        (((8,), (3,), (4,)), r"centroids: expected \[centroids, dim\]"),
        (((2, 9), (3,), (4,)), "centroids: expected a dim that is a multiple of 8"),
    ],
)
def test_what_an_index_holds_must_fit_together(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ResidualCodec(*(torch.zeros(shape) for shape in shapes))


def test_other_refusals() -> None:
    with pytest.raises(InputError, match=r"embeddings: expected \[\.\.\., 128\], like the centroids"):
        residual(2).encode(unit_vectors(3, 64))
    with pytest.raises(InputError, match=r"embeddings: expected at most 65504 in magnitude.*got 70000"):
        Float16Codec().encode(torch.full((1, 8), 7e4))
    with pytest.raises(TypeError, match=r"tokens: expected torch.float16"):
        Float16Codec().decode(torch.zeros(1, 8))
    tokens = Int8Codec().encode(unit_vectors(3, 8))
    with pytest.raises(InputError, match=r"tokens\.scales: expected \[3\]"):
        Int8Codec().decode(tokens._replace(scales=tokens.scales[:2]))
