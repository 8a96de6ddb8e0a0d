from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch

from rankgrad.training.random_state import RandomState, random_state, set_random_state


def draws() -> tuple[list[float], float, float, float]:
    return torch.rand(3).tolist(), random.random(), random.gauss(0, 1), float(np.random.standard_normal())


@pytest.fixture(autouse=True)
def _generators_as_before():
    before = random_state()
    yield
    set_random_state(before)


def test_the_state_survives_a_file_of_plain_values() -> None:
    draws()
    file = io.BytesIO()
    torch.save(RandomState().state_dict(), file)
    expected = draws()
    file.seek(0)
    callback = RandomState()
    callback.load_state_dict(torch.load(file, weights_only=True))
    assert draws() != expected, "loading alone must not set the generators: Lightning's set-up draws after it"
    callback.on_train_start(type("Trainer", (), {"global_rank": 0})(), None)
    assert draws() == expected
    after = draws()
    callback.on_train_start(type("Trainer", (), {"global_rank": 0})(), None)
    assert draws() != after, "a second fit of the same trainer goes on"


def test_a_process_without_a_state_keeps_its_own() -> None:
    callback = RandomState()
    callback.load_state_dict(RandomState().state_dict())
    before = random_state()
    callback.on_train_start(type("Trainer", (), {"global_rank": 1})(), None)
    assert torch.equal(random_state()["torch"], before["torch"])
