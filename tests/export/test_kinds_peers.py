"""A dense encoder's bundle, unchanged, in sentence-transformers: the embeddings are torch's."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

QUERY = "dictionary"
DOCUMENTS = ["open a file, and read its lines!", "sort the values of a dictionary by key", "a date", "list"]


# What a library warns of when it is imported is not ours.
@pytest.mark.filterwarnings("ignore")
def test_sentence_transformers_on_onnxruntime(
    kind_model: Callable[[str], Any], kind_bundle: Callable[[str], Path]
) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    try:
        # It is imported only when a name is asked for, and not every version fits every transformers.
        import_module("optimum.onnxruntime").ORTModelForFeatureExtraction  # noqa: B018
    except ImportError as error:
        pytest.skip(f"its ONNX backend needs an optimum-onnx that fits this transformers ({error})")
    ours = kind_model("dense")
    model = library.SentenceTransformer(str(kind_bundle("dense")), backend="onnx", device="cpu")
    np.testing.assert_allclose(model.encode_document(DOCUMENTS), ours.encode_documents(DOCUMENTS).numpy(), atol=1e-5)
    np.testing.assert_allclose(model.encode_query([QUERY]), ours.encode_queries([QUERY]).numpy(), atol=1e-5)
