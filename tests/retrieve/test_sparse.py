"""Sparse retrieval against a dense product, whatever form the vectors come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.retrieve import SparseRetriever


def sparse_table(rows: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-1, 4, (rows, width), generator=generator).float()
    return values * (torch.rand(rows, width, generator=generator) < 0.3)


class Letters:
    """A coordinate a letter."""

    def encode_queries(self, texts: Sequence[str]) -> SparseRows:
        return SparseRows.of(torch.tensor([[float(text.count(chr(97 + n))) for n in range(26)] for text in texts]))

    encode_documents = encode_queries


@pytest.mark.parametrize("form", [SparseRows.of, Tensor.to_sparse_coo, Tensor.to_sparse_csr, Tensor.clone])
@pytest.mark.parametrize("k", [1, 5, 30])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
def test_scores_are_dot_products(form: Callable[[Tensor], Tensor], k: int) -> None:
    documents, queries = sparse_table(30, 12, 0), sparse_table(6, 12, 1)
    ranking = SparseRetriever(vectors=form(documents), width=12).rank_vectors(form(queries), k)
    expected, ids = (queries @ documents.T).sort(dim=1, descending=True, stable=True)
    mask = expected[:, :k] > 0
    assert torch.equal(ranking.mask, mask)
    assert torch.equal(ranking.ids, ids[:, :k].masked_fill(~mask, -1))
    assert torch.equal(ranking.scores, expected[:, :k].masked_fill(~mask, -torch.inf))


def test_texts_files_and_a_filter(tmp_path: Path) -> None:
    retriever = SparseRetriever(Letters(), ["abc", "bbd", "xyz", "aab"])
    assert retriever(["ab"], 3).ids.tolist() == [[3, 0, 1]]
    retriever.save(tmp_path / "index")
    other = SparseRetriever.load(tmp_path / "index", Letters())
    assert other(["ab", "zz"], 4).ids.tolist() == [[3, 0, 1, -1], [2, -1, -1, -1]]
    allowed = torch.tensor([[True, False, True, False]])
    assert other.rank_allowed(["ab"], 2, allowed).ids.tolist() == [[0, -1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SparseRetriever(), "pass either documents"),
        (lambda: SparseRetriever(documents=["a"]), "documents without an encoder"),
        (lambda: SparseRetriever(vectors=torch.zeros(0, 3)), "no document given"),
        (lambda: SparseRetriever(vectors=torch.tensor([[torch.nan]])), "vectors: expected finite values"),
        (lambda: SparseRetriever(vectors=torch.ones(1, 3), width=2), r"vectors: expected \[rows, 2\], got \[1, 3\]"),
        (
            lambda: SparseRetriever(
                vectors=SparseRows(torch.tensor([1, 1]), torch.ones(2), torch.tensor([0, 2])), width=2
            ),
            "a coordinate stands twice in a row",
        ),
        (
            lambda: SparseRetriever(vectors=torch.ones(2, 3)).rank_vectors(SparseRows.of(torch.ones(1, 4)), 1),
            "queries: coordinates reach from 0 to 3, the width is 3",
        ),
        (lambda: SparseRetriever(vectors=torch.ones(2, 3)).rank_vectors(torch.ones(1, 3), 3), "k=3 must lie between"),
        (lambda: SparseRetriever(vectors=torch.ones(2, 3))(["a"], 1), "there is no encoder for texts"),
    ],
)
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
