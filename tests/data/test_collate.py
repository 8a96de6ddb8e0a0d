from __future__ import annotations

import itertools
import pickle
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, LateInteractionFeatures, ListCollate, PairFeatures, TextTokens
from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer, Tokens


def fingerprint(tokens: TextTokens | Tokens) -> Tensor:
    """A row's score by its real tokens and their places: any mix-up of rows or segments changes it."""
    fields = [torch.as_tensor(np.asarray(field), dtype=torch.float64) for field in tokens]
    ids, attended, segment, scored = fields
    position = torch.arange(1, ids.shape[1] + 1)
    return ((ids + 0.5 * segment + 0.25 * scored) * attended * position).sum(1)


def rows(groups: Sequence[TextTokens]) -> Tensor:
    return torch.cat([fingerprint(group) for group in groups])


def padding_ratio(groups: Sequence[TextTokens]) -> float:
    return sum(group.attention_mask.numel() for group in groups) / sum(int(g.attention_mask.sum()) for g in groups)


@pytest.mark.parametrize("group_size", [1, 3, 8, 100])
def test_slots_of_pairs_lead_to_the_right_rows(
    pair_tokenizer: PairTokenizer, lists: list[CandidateList], group_size: int
) -> None:
    batch = ListCollate(pair_tokenizer, group_size=group_size)(lists)
    assert isinstance(batch.features, PairFeatures)
    scores = rows(batch.features.groups)[batch.features.slots]
    for position, one in enumerate(lists):
        for place, document in enumerate(one.documents):
            assert scores[position, place] == fingerprint(pair_tokenizer([one.query], [document]))
            assert batch.labels[position, place] == one.labels[place]
        assert batch.mask[position].tolist() == [place < len(one.documents) for place in range(5)]
        assert not batch.labels[position, len(one.documents) :].any()
        assert not batch.features.slots[position, len(one.documents) :].any()


@pytest.mark.parametrize("group_size", [1, 3, 100])
def test_slots_of_late_interaction_lead_to_the_right_documents(
    late_tokenizer: LateInteractionTokenizer, lists: list[CandidateList], group_size: int
) -> None:
    batch = ListCollate(late_tokenizer, group_size=group_size)(lists)
    assert isinstance(batch.features, LateInteractionFeatures)
    assert batch.features.slots is not None
    assert torch.equal(
        fingerprint(batch.features.queries), fingerprint(late_tokenizer.queries([o.query for o in lists]))
    )
    found = rows(batch.features.documents)[batch.features.slots]
    for position, one in enumerate(lists):
        expected = [fingerprint(late_tokenizer.documents([document])).item() for document in one.documents]
        assert found[position, : len(expected)].tolist() == expected


def test_a_text_that_occurs_twice_is_encoded_once(
    pair_tokenizer: PairTokenizer, late_tokenizer: LateInteractionTokenizer, lists: list[CandidateList]
) -> None:
    pairs = ListCollate(pair_tokenizer)([*lists, lists[0]]).features
    late = ListCollate(late_tokenizer)(lists).features
    assert isinstance(pairs, PairFeatures)
    assert isinstance(late, LateInteractionFeatures)
    assert len(rows(pairs.groups)) == len({(one.query, document) for one in lists for document in one.documents})
    assert len(rows(late.documents)) == len({document for one in lists for document in one.documents})


def test_groups_hold_no_padded_work(pair_tokenizer: PairTokenizer, sentence: Callable[[int], str]) -> None:
    generator = random.Random(1)
    lengths = [min(max(int(generator.lognormvariate(3.6, 0.7)), 3), 180) for _ in range(16 * 8)]
    lists = [
        CandidateList(sentence(8), tuple(sentence(n) for n in lengths[at : at + 8]), (1.0,) * 8)
        for at in range(0, len(lengths), 8)
    ]
    grouped = ListCollate(pair_tokenizer, group_size=8)(lists).features
    whole = ListCollate(pair_tokenizer, group_size=128)(lists).features
    assert isinstance(grouped, PairFeatures)
    assert isinstance(whole, PairFeatures)
    assert padding_ratio(grouped.groups) < 1.15 < padding_ratio(whole.groups)
    assert all(group.input_ids.shape[1] == int(group.attention_mask.sum(1).max()) for group in grouped.groups)
    assert all(field.is_contiguous() for group in grouped.groups for field in group)


@pytest.mark.parametrize("token_budget", [1, 24, 60, 10_000])
def test_groups_keep_within_a_token_budget(
    pair_tokenizer: PairTokenizer, lists: list[CandidateList], token_budget: int
) -> None:
    features = ListCollate(pair_tokenizer, token_budget=token_budget)(lists).features
    expected = ListCollate(pair_tokenizer, group_size=100)(lists).features
    assert isinstance(features, PairFeatures)
    assert isinstance(expected, PairFeatures)
    sizes = [group.input_ids.numel() for group in features.groups]
    assert all(
        size <= token_budget or len(group.input_ids) == 1 for size, group in zip(sizes, features.groups, strict=True)
    )
    # No group could have taken in the first row of the next one.
    for group, after in itertools.pairwise(features.groups):
        assert (len(group.input_ids) + 1) * int(after.attention_mask[0].sum()) > token_budget
    assert torch.equal(rows(features.groups)[features.slots], rows(expected.groups)[expected.slots])
    assert features.mask is not None
    assert features.mask.sum() == sum(len(one.documents) for one in lists)


def test_in_batch_columns_are_all_documents(
    late_tokenizer: LateInteractionTokenizer, lists: list[CandidateList]
) -> None:
    batch = ListCollate(late_tokenizer, in_batch_negatives=True, group_size=2)(lists)
    assert isinstance(batch.features, LateInteractionFeatures)
    assert batch.features.slots is None
    columns = rows(batch.features.documents).tolist()
    texts = list(dict.fromkeys(document for one in lists for document in one.documents))
    column = {text: columns.index(fingerprint(late_tokenizer.documents([text])).item()) for text in texts}
    assert sorted(column.values()) == list(range(len(texts))) == list(range(batch.labels.shape[1]))
    for position, one in enumerate(lists):
        own = dict(zip(one.documents, one.labels, strict=True))
        other = {
            document
            for copy in lists
            if copy.query == one.query
            for document, label in zip(copy.documents, copy.labels, strict=True)
            if label > 0 and document not in own
        }
        for text in texts:
            assert batch.labels[position, column[text]] == own.get(text, 0.0)
            assert batch.mask[position, column[text]] == (text not in other)
    assert int((~batch.mask).sum()) == 2


def test_teacher_scores_and_judged_are_padded_with_zero(pair_tokenizer: PairTokenizer) -> None:
    lists = [
        CandidateList("sort", ("a", "b"), (1.0, 0.0), teacher_scores=(5.0, -2.0), judged=(3.0, 1.0, 1.0)),
        CandidateList("open", ("c",), (1.0,), teacher_scores=(0.5,)),
    ]
    batch = ListCollate(pair_tokenizer)(lists)
    assert batch.teacher_scores is not None
    assert batch.judged is not None
    assert batch.teacher_scores.tolist() == [[5.0, -2.0], [0.5, 0.0]]
    assert batch.judged.tolist() == [[3.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    assert {t.dtype for t in (batch.labels, batch.teacher_scores, batch.judged)} == {torch.float32}


def test_a_pickled_collate_gives_the_same_batch(pair_tokenizer: PairTokenizer, lists: list[CandidateList]) -> None:
    collate = ListCollate(pair_tokenizer)
    here, there = collate(lists), pickle.loads(pickle.dumps(collate))(lists)
    assert isinstance(here.features, PairFeatures)
    assert torch.equal(here.features.slots, there.features.slots)
    assert torch.equal(rows(here.features.groups), rows(there.features.groups))


@pytest.mark.parametrize(
    ("options", "lists", "message"),
    [
        ({"in_batch_negatives": True}, [], "in_batch_negatives=True"),
        ({"group_size": 0}, [], "group_size=0"),
        ({"token_budget": 0}, [], "token_budget=0"),
        ({}, [], "an empty batch"),
        (
            {},
            [CandidateList("a", ("b",), (1.0,)), CandidateList("a", ("b",), (1.0,), teacher_scores=(1.0,))],
            "teacher_scores: 1 of 2 lists",
        ),
    ],
)
def test_what_cannot_be_batched_says_so(
    pair_tokenizer: PairTokenizer, options: dict, lists: list[CandidateList], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ListCollate(pair_tokenizer, **options)(lists)
