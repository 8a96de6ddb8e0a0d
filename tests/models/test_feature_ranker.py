"""Scores of feature rows: what they depend on, and that a saved ranker is the same one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.data import FeatureLists
from rankgrad.models import ColBERT, FeatureRanker
from rankgrad.modules import FeatureTransform

KINDS = ["none", "log1p", "standardise", "log1p_standardise", "quantile"]


def rows(count: int = 50) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0)).exp() * torch.tensor([1.0, 100.0, 0.01])


def ranker(**options: object) -> FeatureRanker:
    torch.manual_seed(0)
    made = FeatureRanker(3, hidden=(8, 4), heads=2, **options)  # type: ignore[arg-type]
    made.fit_transform(rows())
    return made.eval()


def lists() -> FeatureLists:
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[1, 4:], mask[3] = False, False
    return FeatureLists(rows(24).view(4, 6, 3), mask)


def test_weights_of_half_precision_score_in_float32() -> None:
    for kind in KINDS:
        expected, model = ranker(transform=kind)(lists()), ranker(transform=kind)
        found = model.bfloat16()(lists())
        assert found.dtype == torch.float32
        assert_close(found, expected, atol=0.1, rtol=0.1)


def test_standardised_features_have_mean_0_and_deviation_1() -> None:
    for kind in ("standardise", "log1p_standardise"):
        transform = FeatureTransform(3, kind=kind)  # type: ignore[arg-type]
        transform.fit(rows())
        seen = transform(rows())
        assert_close(seen.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
        assert_close(seen.var(dim=0, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_quantiles_are_shares_of_the_training_rows() -> None:
    transform = FeatureTransform(1, kind="quantile", quantiles=5)
    transform.fit(torch.arange(9.0).square().unsqueeze(1))
    # The knots are 0, 4, 16, 36 and 64: 0, 1/4, ... 1 of the rows.
    x = torch.tensor([-5.0, 0.0, 4.0, 10.0, 36.0, 64.0, 1e9])
    assert_close(transform(x.unsqueeze(1)).squeeze(1), torch.tensor([-1.0, -1.0, -0.5, -0.25, 0.5, 1.0, 1.0]))


def test_quantiles_of_random_and_of_many_rows() -> None:
    """``torch.nanquantile`` gives the same, of up to 2^24 rows."""
    few = torch.randn(501, 2)
    few[::7] = float("nan")
    transform = FeatureTransform(2, kind="quantile", quantiles=13)
    transform.fit(few)
    assert_close(transform.knots, few.double().nanquantile(torch.linspace(0, 1, 13).double(), dim=0).float())
    many = torch.ones(2**24 + 3, 1, dtype=torch.float16)
    many[: 2**23 + 1] = 0.0
    transform = FeatureTransform(1, kind="quantile", quantiles=4)
    transform.fit(many)
    assert transform.knots.flatten().tolist() == [0.0, 0.0, 1.0, 1.0]


def test_logarithm_keeps_the_sign() -> None:
    seen = FeatureTransform(1, kind="log1p")(torch.tensor([[-3.0], [0.0], [7.0]])).squeeze(1)
    assert_close(seen, torch.tensor([-4.0, 1.0, 8.0]).abs().log() * torch.tensor([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize("kind", KINDS)
def test_missing_and_constant_features_are_0(kind: str) -> None:
    transform = FeatureTransform(2, kind=kind)  # type: ignore[arg-type]
    transform.fit(torch.stack([torch.full((20,), 3.3), torch.arange(20.0)], dim=1))
    seen = transform(torch.tensor([[float("nan"), float("inf")], [3.3, 1e30]]))
    assert seen[0].tolist() == [0.0, 0.0]
    assert seen.isfinite().all()
    if "standardise" in kind:
        assert seen[1, 0] == 0


def test_fit_ignores_what_is_missing() -> None:
    with_gaps = torch.cat([rows(), torch.full((5, 3), float("nan"))])
    for kind in ("standardise", "quantile"):
        first, second = (FeatureTransform(3, kind=kind) for _ in range(2))  # type: ignore[arg-type]
        first.fit(rows())
        second.fit(with_gaps)
        assert_close(second.state_dict(), first.state_dict())


@pytest.mark.parametrize("attention", [0, 2])
def test_order_padding_and_garbage_behind_the_mask_do_not_matter(attention: int) -> None:
    model, (features, mask) = ranker(attention_layers=attention), lists()
    scores = model(FeatureLists(features, mask))
    assert scores[~mask].eq(0).all()
    assert scores.isfinite().all()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    assert_close(model(FeatureLists(features[:, order], mask[:, order])), scores[:, order])
    spoilt = features.masked_fill(~mask.unsqueeze(-1), float("nan"))
    wider = torch.cat([spoilt, torch.full((4, 3, 3), 1e9)], dim=1), torch.cat([mask, mask.new_zeros(4, 3)], dim=1)
    assert_close(model(FeatureLists(*wider))[:, :6], scores)


def test_attention_makes_scores_depend_on_the_list() -> None:
    features, mask = lists()
    other = features.clone()
    other[:, 1] *= 3
    for attention, same in ((0, True), (1, False)):
        model = ranker(attention_layers=attention)
        first, second = (model(FeatureLists(each, mask))[0, 0] for each in (features, other))
        assert (first == second).item() == same


@pytest.mark.parametrize("kind", [*KINDS, "bins"])
def test_a_saved_ranker_is_the_same(tmp_path: Path, kind: str) -> None:
    model = ranker(attention_layers=1, transform=kind)
    model.save_pretrained(tmp_path / "ranker")
    again = FeatureRanker.from_pretrained(tmp_path / "ranker")
    assert torch.equal(again(lists()), model(lists()))
    assert not again.training


def test_bins_widen_what_the_first_layer_sees() -> None:
    model = ranker(transform="bins", bins=5)
    assert model.layers[0].in_features == 15
    assert model.features == 3
    scores, (features, mask) = model(lists()), lists()
    spoilt = features.masked_fill(~mask.unsqueeze(-1), float("nan"))
    assert_close(model(FeatureLists(spoilt, mask)), scores)


def test_a_folder_from_before_there_were_bins_is_read(tmp_path: Path) -> None:
    model = ranker()
    model.save_pretrained(tmp_path / "ranker")
    path = tmp_path / "ranker/config.json"
    settings = json.loads(path.read_text())
    del settings["bins"]
    path.write_text(json.dumps(settings))
    assert torch.equal(FeatureRanker.from_pretrained(tmp_path / "ranker")(lists()), model(lists()))


def test_a_folder_of_another_kind_is_refused(tmp_path: Path, tiny_encoder_folder: Path) -> None:
    with pytest.raises(InputError, match="holds no feature ranker"):
        FeatureRanker.from_pretrained(tiny_encoder_folder)
    ranker().save_pretrained(tmp_path / "ranker")
    (tmp_path / "ranker/model.safetensors").write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        FeatureRanker.from_pretrained(tmp_path / "ranker")
    with pytest.raises(InputError):
        ColBERT.from_pretrained(tmp_path / "ranker")


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(InputError, match="not fitted"):
        FeatureRanker(3)(lists())
    with pytest.raises(InputError, match=r"expected \[\.\.\., 3\], got \[4, 6, 2\]"):
        ranker()(FeatureLists(lists().features[..., :2], lists().mask))
    for options, message in (
        ({"hidden": ()}, "hidden"),
        ({"hidden": (6,), "attention_layers": 1}, "heads must divide"),
        ({"transform": "rank"}, "kind"),
    ):
        with pytest.raises(InputError, match=message):
            FeatureRanker(3, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one row"):
        FeatureTransform(3).fit(torch.empty(0, 3))


def test_compiles_whole() -> None:
    model = ranker(attention_layers=1)
    torch.compiler.reset()
    compiled = torch.compile(model.forward_lists, fullgraph=True, backend="aot_eager")
    assert_close(compiled(*lists()), model(lists()))


def test_gradients_reach_every_parameter() -> None:
    model = ranker(attention_layers=1).train()
    model(lists()).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
