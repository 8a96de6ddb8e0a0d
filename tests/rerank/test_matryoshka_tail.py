"""Many by few coordinates, few by all: the whole in the limit, exact at the top, less read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.rerank import LateInteractionReranker, MatryoshkaTailReranker, OneVectorTokens
from rankgrad.types import PackedTokens, Ranking

COUNT, DIM = 40, 16
WEIGHTS = torch.tensor([2.0, 1.0, 0.2]).unsqueeze(-1)
TEXTS = tuple(str(row) for row in range(COUNT))


class Table:
    """Random unit tokens, of queries times weights; a text is the number of its row, and has one to four tokens."""

    def __init__(self, *, decay: float = 0.8) -> None:
        scale = decay ** torch.arange(DIM)
        self.lengths = [1 + row % 4 for row in range(COUNT)]
        self.documents = [normalize(torch.randn(length, DIM) * scale, dim=-1) for length in self.lengths]
        self.queries = normalize(torch.randn(COUNT, 3, DIM) * scale, dim=-1) * WEIGHTS

    def encode_queries(self, texts: Any) -> tuple[torch.Tensor, torch.Tensor]:
        mask = torch.tensor([[True, True, int(text) % 2 == 0] for text in texts])
        return self.queries[[int(text) for text in texts]], mask

    def encode_documents(self, texts: Any) -> PackedTokens:
        rows = [self.documents[int(text)] for text in texts]
        return PackedTokens(torch.cat(rows), torch.tensor([0, *map(len, rows)]).cumsum(0).int())


class Vectors:
    def __init__(self) -> None:
        self.table = normalize(torch.randn(COUNT, DIM), dim=-1)

    def encode_queries(self, texts: Any) -> torch.Tensor:
        return self.table[[int(text) for text in texts]]

    encode_documents = encode_queries


@pytest.fixture
def incoming() -> Ranking:
    ids = torch.stack([torch.randperm(COUNT) for _ in range(3)])
    scores = torch.arange(COUNT, 0, -1.0).repeat(3, 1) / COUNT
    mask = torch.arange(COUNT) < torch.tensor([[COUNT], [25], [0]])
    return Ranking(ids.masked_fill(~mask, -1), scores.masked_fill(~mask, -torch.inf), mask)


QUERIES = ["1", "2", "3"]


@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize(("width", "refine"), [(4, 30), (DIM, 1), (DIM, 7)])
def test_all_refined_or_all_coordinates_are_the_stage_inside(
    width: int, refine: int, weight: float, incoming: Ranking
) -> None:
    stage = LateInteractionReranker(Table(), TEXTS, k=30, first_stage_weight=weight)
    whole = stage(QUERIES, incoming)
    found = MatryoshkaTailReranker(stage, width=width, refine=refine)(QUERIES, incoming)
    assert torch.equal(found.ids, whole.ids)
    assert torch.equal(found.mask, whole.mask)
    # Below the refined ones scores say the order alone.
    torch.testing.assert_close(found.scores[:, :refine], whole.scores[:, :refine])


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_an_incoming_score_of_minus_infinity(weight: float, incoming: Ranking) -> None:
    """With weight 0 it is not looked at; else the document stands last, as in the stage inside."""
    stage = LateInteractionReranker(Table(), TEXTS, k=COUNT, first_stage_weight=weight)
    strange = incoming._replace(scores=incoming.scores.index_fill(1, torch.tensor([1]), -torch.inf))
    found = MatryoshkaTailReranker(stage, width=4, refine=5)(QUERIES, strange)
    plain = MatryoshkaTailReranker(stage, width=4, refine=5)(QUERIES, incoming)
    assert not found.scores.isnan().any()
    if weight == 0:
        assert torch.equal(found.ids, plain.ids)
        assert torch.equal(found.scores, plain.scores)
    else:
        assert found.ids[0, -1] == incoming.ids[0, 1]
        assert found.ids[1, 24] == incoming.ids[1, 1]


@pytest.mark.parametrize("refine", [3, 10])
def test_the_top_is_exact_and_the_rest_by_leading_coordinates(refine: int, incoming: Ranking) -> None:
    table = Table()
    stage = LateInteractionReranker(table, TEXTS, k=COUNT)
    found = MatryoshkaTailReranker(stage, width=4, refine=refine)(QUERIES, incoming)
    for row, count in enumerate([COUNT, 25]):
        query, mask = (each[0] for each in table.encode_queries([QUERIES[row]]))
        candidates = incoming.ids[row][incoming.mask[row]].tolist()
        tables = [(query[mask][:, :width], width) for width in (4, DIM)]
        cut, full = (
            {
                place: (
                    (normalize(asked, dim=-1) * WEIGHTS[mask]) @ normalize(table.documents[place][:, :width], dim=-1).T
                )
                .amax(1)
                .sum()
                .item()
                for place in candidates
            }
            for asked, width in tables
        )
        by_cut = sorted(candidates, key=lambda place: -cut[place])
        head = sorted(by_cut[:refine], key=lambda place: -full[place])
        assert found.ids[row, :count].tolist() == [*head, *by_cut[refine:]]
        assert found.scores[row, :refine].tolist() == pytest.approx([full[place] for place in head], abs=1e-5)
    assert (found.scores[:2].masked_fill(~found.mask[:2], -1e9).diff(dim=1) <= 0).all()
    assert not found.mask[2].any()


def test_less_is_read(incoming: Ranking) -> None:
    stage = MatryoshkaTailReranker(LateInteractionReranker(Table(), TEXTS, k=COUNT), width=4, refine=5)
    one = Ranking(*(each[:1] for each in incoming))
    found = stage(["1"], one)
    tokens = [1 + place % 4 for place in found.ids[0].tolist()]
    assert stage.coordinates_read == 4 * sum(tokens) + DIM * sum(tokens[:5]) < DIM * sum(tokens) / 2


def test_a_dense_encoder_has_one_token_a_text(incoming: Ranking) -> None:
    vectors = Vectors()
    stage = LateInteractionReranker(OneVectorTokens(vectors), TEXTS, k=COUNT)
    found = MatryoshkaTailReranker(stage, width=4, refine=COUNT)(QUERIES[:1], Ranking(*(each[:1] for each in incoming)))
    products = vectors.table @ vectors.table[1]
    assert found.ids[0].tolist() == products.argsort(descending=True).tolist()
    assert found.scores[0].tolist() == pytest.approx(products.sort(descending=True).values.tolist(), abs=1e-5)


def test_a_new_index_is_cut_anew(incoming: Ranking) -> None:
    inner = LateInteractionReranker(Table(), TEXTS, k=COUNT)
    stage = MatryoshkaTailReranker(inner, width=4, refine=1)
    stage(QUERIES, incoming)
    inner.encoder = Table()
    inner.index()
    fresh = MatryoshkaTailReranker(inner, width=4, refine=1)(QUERIES, incoming)
    assert torch.equal(stage(QUERIES, incoming).ids, fresh.ids)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width=0"),
        ({"refine": 0}, "refine=0"),
        ({"refine": 31}, "refine=31 must lie between 1 and the stage's k=30"),
        ({"width": DIM + 1}, "width=17: the index has 16 coordinates"),
    ],
)
def test_bad_input(settings: dict[str, int], message: str, incoming: Ranking) -> None:
    with pytest.raises(InputError, match=message):
        MatryoshkaTailReranker(LateInteractionReranker(Table(), TEXTS, k=30), **{"width": 4, "refine": 5, **settings})(
            QUERIES, incoming
        )
