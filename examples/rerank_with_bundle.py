"""Export a cross-encoder and rerank with the bundle: the same order and, up to rounding, the same scores as with torch.

Needs rankgrad[demo] for the MiniLM weights.

    python examples/rerank_with_bundle.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from rankgrad import deploy
from rankgrad.export import export_bundle
from rankgrad.models import CrossEncoder

QUERY = "put the items of a list in order"
DOCUMENTS = [
    "open a file and give back a stream to read from",
    "sort the list in place, from the smallest item to the largest",
    "give back the number of seconds since the epoch",
    "join several strings with a separator between them",
]


def main() -> None:
    model = CrossEncoder.from_pretrained("minilm")
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        export_bundle(model, bundle, variants=())
        reranker = deploy.load(bundle)
        assert isinstance(reranker, deploy.CrossEncoder)
        results = reranker.rerank(QUERY, DOCUMENTS)

    for result in results:
        print(f"{result.score:8.4f}  {result.document}")
    with torch.no_grad():
        scores = model.score([QUERY] * len(DOCUMENTS), DOCUMENTS).numpy()
    assert [result.index for result in results] == np.argsort(-scores).tolist()
    assert np.allclose([result.score for result in results], np.sort(scores)[::-1], atol=1e-3)
    assert results[0].index == 1


if __name__ == "__main__":
    main()
