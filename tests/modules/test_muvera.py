"""MUVERA's encodings against their definition, token by token; their soft form and its limit; bad input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.modules import Muvera
from rankgrad.ops import maxsim
from rankgrad.types import PackedTokens

LENGTHS = (1, 7, 0, 30, 3)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture
def documents() -> PackedTokens:
    return PackedTokens(drawn(sum(LENGTHS), 8), torch.tensor((0, *LENGTHS)).cumsum(0).int())


@pytest.fixture
def queries() -> tuple[Tensor, Tensor]:
    mask = torch.tensor([[True] * 5, [True, False, True, False, False], [False] * 5])
    tokens = drawn(3, 5, 8, seed=1)
    return tokens.masked_fill(~mask.unsqueeze(2), torch.nan), mask


def by_definition(muvera: Muvera, tokens: Tensor, *, of_query: bool) -> Tensor:
    """The encoding of one text, partition by partition and token by token."""
    blocks = []
    for repetition in range(muvera.repetitions):
        signs = (tokens @ muvera.directions[repetition] > 0).int().tolist()
        for partition in range(2**muvera.partition_bits):
            gray = partition ^ (partition >> 1)
            own = [int(bit) for bit in f"{gray:0{muvera.partition_bits}b}"] if muvera.partition_bits else []
            inside = [place for place, found in enumerate(signs) if found == own]
            block = tokens[inside].sum(0)
            if not of_query and inside:
                block = block / len(inside)
            elif not of_query and muvera.fill_empty and len(tokens):
                distances = [sum(a != b for a, b in zip(found, own, strict=True)) for found in signs]
                block = tokens[distances.index(min(distances))]
            blocks.append(block if muvera.projections is None else block @ muvera.projections[repetition])
    whole = torch.cat(blocks)
    if muvera.places is None or muvera.signs is None:
        return whole
    sketched = torch.zeros(muvera.encoding_dim)
    for value, place, sign in zip(whole, muvera.places, muvera.signs, strict=True):
        sketched[place] += sign * value
    return sketched


OPTIONS: list[dict[str, Any]] = [
    {"repetitions": 3, "partition_bits": 4, "projection_dim": 4},
    {"repetitions": 2, "partition_bits": 3, "projection_dim": 6, "projection": "sketch", "final_dim": 40},
    {"repetitions": 2, "partition_bits": 2, "projection_dim": None, "fill_empty": False},
    {"repetitions": 1, "partition_bits": 0, "projection_dim": None, "final_dim": 5},
    {"repetitions": 2, "partition_bits": 1, "projection_dim": 3},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_encodings_are_their_definition(
    options: dict[str, Any], documents: PackedTokens, queries: tuple[Tensor, Tensor]
) -> None:
    muvera = Muvera(8, seed=3, **options)
    tokens, mask = queries
    texts = documents.embeddings.split(LENGTHS)
    found = muvera.encode_documents(documents)
    assert found.shape == (5, muvera.encoding_dim)
    torch.testing.assert_close(found, torch.stack([by_definition(muvera, text, of_query=False) for text in texts]))
    asked = torch.stack(
        [by_definition(muvera, row[real], of_query=True) for row, real in zip(tokens, mask, strict=True)]
    )
    torch.testing.assert_close(muvera.encode_queries(tokens, mask), asked)
    torch.testing.assert_close(muvera(tokens, documents, mask), asked @ found.T)
    assert not asked[2].any()
    assert not found[2].any()


def test_documents_come_in_parts(documents: PackedTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    muvera = Muvera(8, repetitions=2)
    whole = muvera.encode_documents(documents)
    monkeypatch.setattr("rankgrad.modules._muvera._PART_TOKENS", 6)
    torch.testing.assert_close(muvera.encode_documents(documents), whole)
    monkeypatch.setattr("rankgrad.modules._muvera._PART_ELEMENTS", 1)
    torch.testing.assert_close(muvera.encode_documents(documents), whole)
    assert muvera.encode_documents(PackedTokens(torch.zeros(0, 8), torch.zeros(1).int())).shape == (0, 512)


def test_estimates_come_near_to_maxsim() -> None:
    """One partition a token: the product of a query of one token with a document of one is ``repetitions`` <q, d>;
    many repetitions put documents in MaxSim's order."""
    one, other = drawn(1, 1, 8), drawn(1, 8, seed=1)
    muvera = Muvera(8, repetitions=4, partition_bits=3, projection_dim=None)
    product = muvera(one, PackedTokens(other, torch.tensor([0, 1])))
    torch.testing.assert_close(product, 4 * one[0] @ other.T)
    tokens = drawn(60 * 5, 8, seed=2)
    offsets = torch.arange(0, 301, 5).int()
    queries = tokens.view(60, 5, 8)[:10, :2] + 0.1 * drawn(10, 2, 8, seed=3)
    exact = maxsim(queries, tokens, document_cu_seqlens=offsets)
    found = Muvera(8, repetitions=40, partition_bits=4)(queries, PackedTokens(tokens, offsets))
    assert torch.equal(found.argmax(1), exact.argmax(1))
    assert torch.corrcoef(torch.stack([found.flatten(), exact.flatten()]))[0, 1] > 0.8


@pytest.mark.parametrize("fill", [True, False])
def test_the_soft_form_tends_to_the_hard_one(fill: bool) -> None:
    tokens = drawn(2000, 8)  # enough for every partition to hold one of either document
    documents = PackedTokens(tokens, torch.tensor([0, 900, 2000]))
    options: dict[str, Any] = {"repetitions": 2, "partition_bits": 3, "fill_empty": fill, "final_dim": 64}
    hard, soft = Muvera(8, **options), Muvera(8, temperature=1e-6, **options)
    torch.testing.assert_close(soft.encode_documents(documents), hard.encode_documents(documents), atol=2e-3, rtol=0)
    torch.testing.assert_close(soft.encode_queries(tokens[None, :9]), hard.encode_queries(tokens[None, :9]))
    warm = Muvera(8, temperature=1.0, **options).encode_documents(documents)
    assert not torch.allclose(warm, hard.encode_documents(documents), atol=1e-2)


def soft_by_definition(muvera: Muvera, tokens: Tensor, *, of_query: bool) -> Tensor:
    """Weighted sums and means, from the formula of the weights."""
    assert muvera.temperature is not None
    blocks = []
    for repetition in range(muvera.repetitions):
        shares = torch.sigmoid(tokens @ muvera.directions[repetition] / muvera.temperature)
        for partition in range(2**muvera.partition_bits):
            gray = partition ^ (partition >> 1)
            weights = torch.ones(len(tokens))
            for place, bit in enumerate(f"{gray:0{muvera.partition_bits}b}"):
                weights = weights * (shares[:, place] if bit == "1" else 1 - shares[:, place])
            block = (weights.unsqueeze(1) * tokens).sum(0)
            if not of_query:
                block = block / (weights.sum() if muvera.fill_empty else weights.sum().clamp(min=1))
            blocks.append(block)
    return torch.cat(blocks)


@pytest.mark.parametrize("fill", [True, False])
def test_the_soft_form_is_its_definition(fill: bool) -> None:
    muvera = Muvera(8, repetitions=2, partition_bits=2, projection_dim=None, temperature=0.7, fill_empty=fill)
    tokens = drawn(9, 8)
    found = muvera.encode_documents(PackedTokens(tokens, torch.tensor([0, 2, 9])))
    expected = [soft_by_definition(muvera, part, of_query=False) for part in tokens.split((2, 7))]
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(
        muvera.encode_queries(tokens[None])[0], soft_by_definition(muvera, tokens, of_query=True)
    )
    # A document far from a partition still has a token there, whatever its weight.
    cold = Muvera(8, repetitions=1, partition_bits=4, projection_dim=None, temperature=1e-3, fill_empty=fill)
    blocks = cold.encode_documents(PackedTokens(tokens[:1], torch.tensor([0, 1]))).view(16, 8)
    filled = (blocks - tokens[0]).abs().amax(1) < 1e-5
    assert int(filled.sum()) == (16 if fill else 1)


def test_gradients() -> None:
    muvera = Muvera(4, repetitions=2, partition_bits=2, projection_dim=3, temperature=0.5, trainable=True, final_dim=7)
    muvera = muvera.double()
    directions = muvera.directions.detach().clone().requires_grad_()
    queries, tokens = (drawn(*shape, seed=2).double().requires_grad_() for shape in ((2, 3, 4), (5, 4)))

    def scores(queries: Tensor, tokens: Tensor, directions: Tensor) -> Tensor:
        packed = PackedTokens(tokens, torch.tensor([0, 2, 5]))
        encoded = torch.func.functional_call(muvera, {"directions": directions}, (queries, packed))
        assert isinstance(encoded, Tensor)
        return encoded

    assert torch.autograd.gradcheck(scores, (queries, tokens, directions))
    hard = Muvera(4, trainable=True)
    hard(queries.float(), PackedTokens(tokens.float(), torch.tensor([0, 5]))).sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.abs().sum() > 0
    assert hard.directions.grad is not None
    assert not hard.directions.grad.any()


def test_training_the_directions_brings_encodings_nearer_to_maxsim() -> None:
    tokens, offsets = drawn(40 * 4, 8, seed=5), torch.arange(0, 161, 4).int()
    queries = drawn(20, 3, 8, seed=6)
    exact = maxsim(queries, tokens, document_cu_seqlens=offsets)
    muvera = Muvera(8, repetitions=2, partition_bits=3, projection_dim=None, temperature=0.3, trainable=True)
    optimiser = torch.optim.Adam(muvera.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        found = muvera(queries, PackedTokens(tokens, offsets)) / muvera.repetitions
        loss = (found - exact).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_the_seed_decides_and_settings_make_it_again() -> None:
    one = Muvera(8, seed=1, repetitions=2, final_dim=30, projection="sketch")
    made_again = Muvera(**one.settings())  # pyright: ignore[reportArgumentType]
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), made_again.buffers(), strict=True))
    assert not torch.equal(Muvera(8, seed=2, repetitions=2).directions, one.directions)
    assert one.projections is not None
    assert one.projections.abs().sum(2).eq(1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 0}, "dim: expected at least 1, got 0"),
        ({"dim": 8, "repetitions": 0}, "repetitions: expected at least 1"),
        ({"dim": 8, "partition_bits": 11}, "partition_bits: expected 0 to 10, got 11"),
        ({"dim": 8, "projection": "gauss"}, 'projection: expected "signs" or "sketch"'),
        ({"dim": 8, "temperature": 0.0}, "temperature: expected a number above 0"),
        ({"dim": 8, "final_dim": 0}, "final_dim: expected at least 1"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Muvera(**options)


@pytest.mark.parametrize("shape", [(2, 3, 5), (3, 8)])
def test_tokens_of_another_width(shape: Sequence[int]) -> None:
    with pytest.raises(InputError, match=r"tokens: expected \[queries, tokens, 8\]"):
        Muvera(8).encode_queries(torch.zeros(*shape))
    with pytest.raises(InputError, match=r"tokens: expected \[total_tokens, 8\]"):
        Muvera(8).encode_documents(PackedTokens(torch.zeros(3, 5), torch.tensor([0, 3])))
