"""Options for the transformers model inside: activations made anew, and compilation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad.data.collate import ListCollate
from rankgrad.losses import InfoNCELoss
from rankgrad.models import ColBERT
from rankgrad.training import Ranker
from rankgrad.training.backbone import keep_few_activations


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, features):
        return self.layer(features).squeeze(-1)


@pytest.fixture
def batch(new_colbert, lists):
    return ListCollate(new_colbert().tokenizer, in_batch_negatives=True, group_size=6)(lists.lists("train")[:6])


def step(model: nn.Module, batch) -> tuple[dict[str, torch.Tensor], int]:
    """The gradients of a step, and the bytes that were kept for its backward pass."""
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = InfoNCELoss()(model(batch.features), batch.labels, batch.mask)
    loss.backward()
    return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}, kept


def test_with_gradient_checkpointing_the_same_gradients_from_fewer_activations(new_colbert, batch) -> None:
    plain, frugal = new_colbert().train(), new_colbert().train()
    Ranker(frugal, InfoNCELoss(), gradient_checkpointing=True)
    expected, all_bytes = step(plain, batch)
    found, few_bytes = step(frugal, batch)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5, msg=name)
    assert few_bytes < 0.3 * all_bytes


# The compiler looks at this attribute itself, and hides the warning in a way that does not hold where it is an error.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_one_compilation_serves_all_lengths(new_colbert, lists, monkeypatch) -> None:
    model, plain = new_colbert().train(), new_colbert().train()
    monkeypatch.setattr(nn.Module, "compile", _compile_without_code_generation)
    Ranker(model, InfoNCELoss(), compile=True)
    for each in (model, plain):
        for module in each.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    assert model.state_dict().keys() == plain.state_dict().keys()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    shapes = set()
    for count, group_size in ((5, 4), (9, 7)):
        collate = ListCollate(model.tokenizer, in_batch_negatives=True, group_size=group_size)
        batch = collate(lists.lists("train")[:count])
        shapes |= {tuple(group.input_ids.shape) for group in batch.features.documents}
        torch.testing.assert_close(model(batch.features), plain(batch.features), atol=1e-5, rtol=1e-5)
    assert len(shapes) > 6
    assert 1 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 4
    assert not torch._dynamo.utils.counters["graph_break"]


def test_what_has_no_backbone_is_refused(new_colbert) -> None:
    for option in ("gradient_checkpointing", "compile"):
        with pytest.raises(InputError, match=f"{option}=True: Linear has no backbone"):
            Ranker(Linear(), InfoNCELoss(), **{option: True})
    model: ColBERT = new_colbert()
    type(model.backbone).supports_gradient_checkpointing, before = False, True
    try:
        with pytest.raises(InputError, match="gradient_checkpointing=True: BertModel does not support it"):
            keep_few_activations(model)
    finally:
        type(model.backbone).supports_gradient_checkpointing = before


def _compile_without_code_generation(self: nn.Module, **options) -> None:
    self._compiled_call_impl = torch.compile(self._call_impl, backend="eager", **options)
