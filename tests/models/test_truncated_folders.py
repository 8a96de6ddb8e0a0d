"""A truncated model is the same after it was saved, here and for readers that have no place for a width."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import ColBERT, DenseEncoder
from rankgrad.models import _folder as folder_tools
from rankgrad.modules import ProjectionHead
from rankgrad.tokens import LateInteractionRules

RULES = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=12, document_length=20)
TEXTS = ["open a file, and read its lines", "x"]


@pytest.mark.parametrize("normalize", [True, False])
def test_of_a_dense_encoder(normalize: bool, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    full = DenseEncoder.from_pretrained(tiny_encoder_folder, normalize=normalize, matryoshka_dims=[32, 8])
    wanted = full.encode_documents(TEXTS)
    model = full.truncate(8)
    state = torch.get_rng_state()
    model.save_pretrained(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), state)
    again = DenseEncoder.from_pretrained(tmp_path / "model")
    assert (again.dim, again.full_dim, again.matryoshka_dims) == (8, 32, (32, 8))
    torch.testing.assert_close(again.encode_documents(TEXTS), model.encode_documents(TEXTS))
    torch.testing.assert_close(again.truncate(None).encode_documents(TEXTS), wanted)
    assert DenseEncoder.from_pretrained(tmp_path / "model", truncate_dim=16).dim == 16


def test_sentence_transformers_reads_the_same_dense_encoder(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    model = DenseEncoder.from_pretrained(tiny_encoder_folder, truncate_dim=8)
    model.save_pretrained(tmp_path / "model")
    with folder_tools.quiet():
        theirs = library.SentenceTransformer(str(tmp_path / "model"), device="cpu")
        embeddings = torch.as_tensor(theirs.encode(TEXTS))
    torch.testing.assert_close(embeddings, model.encode_documents(TEXTS), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", [None, "pylate", "sentence-transformers", "stanford", "rankgrad"])
def test_of_a_colbert(layout: str | None, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    head = None if layout in (None, "stanford") else ProjectionHead(depth=2, activation=nn.Tanh(), residual=True)
    full = ColBERT.from_pretrained(tiny_encoder_folder, rules=RULES, dim=16, head=head, matryoshka_dims=[16, 4])
    wanted = full.encode_documents(TEXTS).embeddings
    model = full.truncate(4)
    model.save_pretrained(tmp_path / "model", layout=layout)  # type: ignore[arg-type]
    again = ColBERT.from_pretrained(tmp_path / "model")
    assert (again.dim, again.rules) == (4, RULES)
    torch.testing.assert_close(again.encode_documents(TEXTS).embeddings, model.encode_documents(TEXTS).embeddings)
    if layout == "stanford":
        # Rows that no score depends on have no place there.
        assert (again.projection.full_dim, again.matryoshka_dims) == (4, (4,))
        return
    assert ColBERT.from_pretrained(tmp_path / "model", truncate_dim=8).dim == 8
    assert again.matryoshka_dims == (16, 4)
    torch.testing.assert_close(again.truncate(None).encode_documents(TEXTS).embeddings, wanted)


def test_readers_without_our_settings_get_the_same_colbert(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    for dim in (16, None):
        for layout in ("pylate", "sentence-transformers", "stanford") if dim else ("pylate", "sentence-transformers"):
            model = ColBERT.from_pretrained(tiny_encoder_folder, rules=RULES, dim=dim, truncate_dim=4)
            folder = tmp_path / f"{layout}{dim}"
            model.save_pretrained(folder, layout=layout)  # type: ignore[arg-type]
            (folder / "rankgrad_model.json").unlink(missing_ok=True)
            wanted = model.encode_documents(TEXTS).embeddings
            torch.testing.assert_close(ColBERT.from_pretrained(folder).encode_documents(TEXTS).embeddings, wanted)


@pytest.mark.parametrize("kind", [DenseEncoder, ColBERT])
def test_a_width_without_its_layer(
    kind: type[DenseEncoder] | type[ColBERT], tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    kind.from_pretrained(tiny_encoder_folder, truncate_dim=8).save_pretrained(tmp_path / "model")
    path = tmp_path / "model/rankgrad_model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncate_dim": 4}))
    with pytest.raises(InputError, match="says truncate_dim=4 and has no last Dense module"):
        kind.from_pretrained(tmp_path / "model")
