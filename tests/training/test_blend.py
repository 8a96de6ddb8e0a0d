"""Weights between those before a training and those after it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad.data import FeatureLists
from rankgrad.models import FeatureRanker, SparseEncoder
from rankgrad.training import blend_weights


def model(value: float, width: int = 2) -> nn.Module:
    made = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))
    for weight in made.parameters():
        nn.init.constant_(weight, value)
    return made


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_weights_lie_between(share: float) -> None:
    trained, start = model(4.0), model(1.0)
    trained[1].num_batches_tracked.fill_(7)  # type: ignore[index, union-attr, operator]
    assert blend_weights(trained, start, share=share) is trained
    for weight in trained.parameters():
        torch.testing.assert_close(weight, torch.full_like(weight, 1.0 + 3.0 * share))
    assert trained.state_dict()["1.num_batches_tracked"] == 7
    assert all(bool((weight == 1.0).all()) for weight in start.parameters())


def test_tied_weights_are_blended_once(tiny_mlm_folder: Path) -> None:
    trained, start = (SparseEncoder.from_pretrained(tiny_mlm_folder) for _ in range(2))
    before = {name: value.clone() for name, value in start.state_dict().items()}
    with torch.no_grad():
        for weight in trained.parameters():
            weight += 1.0
    names = list(trained.state_dict())
    assert len({value.data_ptr() for value in trained.state_dict().values()}) < len(names), "nothing is tied here"
    blend_weights(trained, start, share=0.25)
    learnt = {name for name, _ in trained.named_parameters(remove_duplicate=False)}
    for name, weight in trained.state_dict().items():
        torch.testing.assert_close(weight, before[name] + 0.25 * (name in learnt), msg=lambda m, n=name: f"{n}: {m}")


def test_a_state_from_before_will_do() -> None:
    trained = model(1.0)
    before = {name: weight.clone() for name, weight in trained.state_dict().items()}
    nn.init.constant_(trained[0].bias, 5.0)  # type: ignore[index, arg-type]
    blend_weights(trained, before)
    assert trained[0].bias.tolist() == [3.0, 3.0]  # type: ignore[index]


def test_what_was_fitted_stays_as_it_is() -> None:
    """A feature that never varies is divided by infinity; the start's transform may not even be fitted."""
    trained = FeatureRanker(2)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    rows = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    trained.fit_transform(rows)
    buffers = {name: value.clone() for name, value in trained.named_buffers()}
    for start in (before, {**before, **buffers}):
        blend_weights(trained, start)
        assert all(torch.equal(value, buffers[name]) for name, value in trained.named_buffers())
        assert trained(FeatureLists(rows[None], torch.ones(1, 2, dtype=torch.bool))).isfinite().all()


@pytest.mark.parametrize("other", [model(1.0, width=3), nn.Linear(2, 2)])
def test_another_model_is_refused_and_nothing_changed(other: nn.Module) -> None:
    trained = model(4.0)
    with pytest.raises(InputError, match="is not the same in both models"):
        blend_weights(trained, other)
    assert all(bool((weight == 4.0).all()) for weight in trained.parameters())
    with pytest.raises(InputError, match="share=2"):
        blend_weights(trained, model(1.0), share=2)
