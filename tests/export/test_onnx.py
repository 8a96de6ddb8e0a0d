"""The exported graph: dynamic in both axes, one file, only the inputs it reads, and the model left as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from rankgrad._checks import InputError
from rankgrad.export import export_onnx
from rankgrad.export.trace import OPSET, check_axes
from rankgrad.models import ColBERT, CrossEncoder

PAIR = ["input_ids", "attention_mask", "token_type_ids"]
EXPECTED = {
    "cls": (PAIR, "logits", ["batch", 1]),
    "mean": (PAIR, "logits", ["batch", 1]),
    "interaction": (PAIR, "logits", ["batch", 1]),
    "colbert": (PAIR[:2], "contextual", ["batch", "tokens", 16]),
}


def shape(value: onnx.ValueInfoProto) -> list[str | int]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def values(names: list[str], batch: int, tokens: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(batch).integers(0, 40, (batch, tokens))
    mask = (np.arange(tokens)[None, :] < np.linspace(tokens, 3, batch)[:, None]).astype(np.int64)
    segments = (np.arange(tokens)[None, :] >= tokens // 2).astype(np.int64) * mask
    return {name: {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}[name] for name in names}


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_graph_is_as_declared(tiny_bundle: Callable[[str], Path], kind: str) -> None:
    names, output, output_shape = EXPECTED[kind]
    model = onnx.load(str(tiny_bundle(kind) / "onnx" / "model.onnx"))
    assert {each.name: shape(each) for each in model.graph.input} == {name: ["batch", "tokens"] for name in names}
    assert [(each.name, shape(each)) for each in model.graph.output] == [(output, output_shape)]
    assert {each.type.tensor_type.elem_type for each in model.graph.input} == {onnx.TensorProto.INT64}
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("size", [(1, 3), (3, 11), (2, 64)])
def test_plain_onnxruntime_gives_torchs_output(
    tiny_ranker: Callable[[str], Any], tiny_bundle: Callable[[str], Path], kind: str, size: tuple[int, int]
) -> None:
    session = onnxruntime.InferenceSession(str(tiny_bundle(kind) / "onnx" / "model.onnx"))
    feeds = values([each.name for each in session.get_inputs()], *size)
    with torch.inference_mode():
        expected = tiny_ranker(kind).forward_tokens(**{name: torch.from_numpy(each) for name, each in feeds.items()})
    np.testing.assert_allclose(session.run(None, feeds)[0], expected.numpy(), rtol=0, atol=1e-5)


def test_a_graph_tells_nothing_of_the_machine_that_made_it(tiny_bundle: Callable[[str], Path]) -> None:
    content = (tiny_bundle("interaction") / "onnx" / "model.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path(__file__).resolve().parents[2]).encode() not in content


def test_half_weights_are_cast_up_in_a_copy(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    model = ColBERT.from_pretrained(tiny_encoder_folder, dim=8).to(torch.bfloat16).train()
    before = model.backbone.config._attn_implementation
    export_onnx(model, tmp_path / "half.onnx")
    assert {each.dtype for each in model.parameters()} == {torch.bfloat16}
    assert model.training
    assert model.backbone.config._attn_implementation == before
    weights = {each.data_type for each in onnx.load(str(tmp_path / "half.onnx")).graph.initializer}
    assert onnx.TensorProto.FLOAT in weights
    assert not weights & {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    session = onnxruntime.InferenceSession(str(tmp_path / "half.onnx"))
    feeds = values(PAIR[:2], 2, 9)
    with torch.inference_mode():
        expected = model.eval().float().forward_tokens(*(torch.from_numpy(each) for each in feeds.values()))
    np.testing.assert_allclose(session.run(None, feeds)[0], expected.numpy(), rtol=0, atol=1e-5)


def test_an_input_that_nothing_reads_is_not_declared(tiny_tokenizer: Any, tmp_path: Path) -> None:
    # An encoder without segments, and a head that does not look at them.
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer, pad_token="[PAD]", mask_token="[MASK]")
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        type_vocab_size=1,
        max_position_embeddings=70,
        pad_token_id=0,
        num_labels=1,
    )
    model = CrossEncoder(_Classifier(RobertaModel(config)), tokenizer, head="cls", max_length=48, query_length=8)
    declared = export_onnx(model, tmp_path / "model.onnx")
    assert declared.inputs == ("input_ids", "attention_mask")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    feeds = values(PAIR[:2], 3, 17)
    with torch.inference_mode():
        expected = model.eval().forward_tokens(*(torch.from_numpy(each) for each in values(PAIR, 3, 17).values()))
    np.testing.assert_allclose(session.run(None, feeds)[0], expected.numpy(), rtol=0, atol=1e-5)


def test_a_graph_of_fixed_size_is_refused() -> None:
    fixed = onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["batch", 8])
    with pytest.raises(InputError, match=r"input_ids has shape \['batch', 8\]"):
        check_axes(onnx.helper.make_graph([], "graph", [fixed], []), {"input_ids": ("batch", "tokens")})


class _Classifier(torch.nn.Module):
    """A classifier of the first token."""

    def __init__(self, encoder: RobertaModel) -> None:
        super().__init__()
        self.encoder, self.config = encoder, encoder.config
        self.linear = torch.nn.Linear(encoder.config.hidden_size, 1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return type("Output", (), {"logits": self.linear(hidden[:, 0])})
