from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from rankgrad._checks import InputError
from rankgrad.training.optim import keep_own_rates, learning_rate_factor, parameter_groups, set_learning_rates


class TwoParts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
        self.head = nn.Linear(4, 1)


def names_by_group(model: nn.Module, **options: float | None) -> dict[tuple[float, float], set[str]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, **{"learning_rate": 1.0, "weight_decay": 0.1, **options})
    return {(group["lr"], group["weight_decay"]): {names[id(p)] for p in group["params"]} for group in groups}


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "head_learning_rate"])
def test_rates_that_train_away_from_the_loss(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{name}={value}: expected a finite number of at least 0"):
        parameter_groups(TwoParts(), **{"learning_rate": 1.0, "weight_decay": 0.1, name: value})


def test_only_matrices_decay() -> None:
    assert names_by_group(TwoParts()) == {
        (1.0, 0.1): {"encoder.0.weight", "head.weight"},
        (1.0, 0.0): {"encoder.0.bias", "encoder.1.weight", "encoder.1.bias", "head.bias"},
    }


def test_the_head_has_its_own_rate() -> None:
    assert names_by_group(TwoParts(), head_learning_rate=5.0) == {
        (1.0, 0.1): {"encoder.0.weight"},
        (1.0, 0.0): {"encoder.0.bias", "encoder.1.weight", "encoder.1.bias"},
        (5.0, 0.1): {"head.weight"},
        (5.0, 0.0): {"head.bias"},
    }


def test_frozen_parameters_are_left_out() -> None:
    model = TwoParts()
    model.encoder.requires_grad_(False)
    assert set.union(*names_by_group(model).values()) == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("model", "head_learning_rate", "message"),
    [(nn.Linear(2, 1), 1.0, "no .encoder"), (nn.Linear(2, 1).requires_grad_(False), None, "unfreeze")],
)
def test_models_that_cannot_be_split(model: nn.Module, head_learning_rate: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parameter_groups(model, learning_rate=1.0, weight_decay=0.1, head_learning_rate=head_learning_rate)


@pytest.mark.parametrize(
    ("decay", "oracle"), [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)]
)
def test_the_fall_is_transformers_own(decay: str, oracle: object) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = oracle(optimizer, 4, 20).lr_lambdas[0]
    ours = [learning_rate_factor(step, total=20, warmup=4, decay=decay) for step in range(21)]
    assert ours[4:] == pytest.approx([theirs(step) for step in range(4, 21)])
    assert ours[:4] == [0.25, 0.5, 0.75, 1.0], "no step is lost at rate 0"


@pytest.mark.parametrize(
    ("step", "total", "warmup", "decay", "factor"),
    [
        (0, 100, 0.0, "linear", 1.0),
        (50, 100, 0.0, "constant", 1.0),
        (9, 100, 0.1, "constant", 1.0),
        (0, 100, 0.1, "constant", 0.1),
        (150, 100, 0.1, "linear", 0.0),
        (0, 1, 0.1, "linear", 1.0),
        (5, 3, 10.0, "linear", 0.6),
    ],
)
def test_corners_of_the_schedule(step: int, total: int, warmup: float, decay: str, factor: float) -> None:
    assert learning_rate_factor(step, total=total, warmup=warmup, decay=decay) == pytest.approx(factor)


def test_every_group_moves_by_its_own_peak() -> None:
    groups = parameter_groups(TwoParts(), learning_rate=1.0, weight_decay=0.1, head_learning_rate=5.0)
    optimizer = torch.optim.AdamW(groups)
    for factor in (0.5, 0.25):
        set_learning_rates(optimizer, factor)
        assert [group["lr"] for group in optimizer.param_groups] == [factor, factor, 5 * factor, 5 * factor]


def optimizer_of(**options: float) -> torch.optim.AdamW:
    groups = parameter_groups(TwoParts(), **{"learning_rate": 1.0, "weight_decay": 0.1, **options})
    optimizer = torch.optim.AdamW(groups)
    keep_own_rates(optimizer)
    return optimizer


def test_a_resumed_run_has_its_own_rates() -> None:
    before, now = optimizer_of(), optimizer_of(learning_rate=0.5, weight_decay=0.2)
    set_learning_rates(before, 0.25)
    saved = before.state_dict()
    now.load_state_dict(saved)
    assert [(group["peak"], group["weight_decay"]) for group in now.param_groups] == [(0.5, 0.2), (0.5, 0.0)]
    assert [group["lr"] for group in now.param_groups] == [0.25, 0.25], "until the next step sets it"
    assert [group["peak"] for group in saved["param_groups"]] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("options", "groups"), [({"head_learning_rate": 5.0}, "[1, 3, 1, 1]"), ({"weight_decay": 0.0}, "[6]")]
)
def test_a_state_of_other_groups(options: dict[str, float], groups: str) -> None:
    with pytest.raises(InputError) as raised:
        optimizer_of(**options).load_state_dict(optimizer_of().state_dict())
    assert f"in groups of [2, 4], and this run in groups of {groups}: resume with head_l" in str(raised.value)
