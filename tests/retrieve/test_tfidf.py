"""TF-IDF against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from rankgrad._checks import InputError
from rankgrad.retrieve import TFIDF, Analyzer

QUERIES = ["w0 w3 unknown", "w20 w20 w1 w1 w1", "nothing known"]


@pytest.mark.parametrize(("sublinear", "normalize"), [(False, True), (True, True), (True, False)])
def test_scores_are_those_of_scikit_learn(sublinear: bool, normalize: bool, texts: list[str], plain: Analyzer) -> None:
    peer = TfidfVectorizer(analyzer=str.split, sublinear_tf=sublinear, norm="l2" if normalize else None)
    documents = peer.fit_transform(texts)
    expected = (peer.transform(QUERIES) @ documents.T).toarray()
    ranking = TFIDF(texts, sublinear=sublinear, normalize=normalize, analyzer=plain)(QUERIES, len(texts))
    for row in range(len(QUERIES)):
        found = np.zeros(len(texts))
        mask = ranking.mask[row]
        found[ranking.ids[row][mask]] = ranking.scores[row][mask]
        np.testing.assert_allclose(found, expected[row], rtol=1e-5)
        assert int(mask.sum()) == (expected[row] > 0).sum()
    assert (ranking.scores.diff(dim=1)[ranking.mask[:, 1:]] <= 0).all()


def test_no_documents_and_too_large_a_k() -> None:
    with pytest.raises(InputError, match="no document given"):
        TFIDF([])
    with pytest.raises(InputError, match="k=2 must lie between 1 and the size of the collection: pass 1 at most"):
        TFIDF(["cat"])(["cat"], 2)
    assert not torch.isnan(TFIDF(["cat", ""])(["cat"], 2).scores).any()
