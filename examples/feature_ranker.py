"""Learning to rank by features: train, export, score without torch, and ask which features the ranker lives on.

Of ten features two decide the labels; permutation importance puts these two first. Needs rankgrad[onnx,evaluate].

    python examples/feature_ranker.py [--plot importance.png]
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from rankgrad import deploy
from rankgrad.data import FeatureTable, collate_features
from rankgrad.evaluation import permutation_importance, plot_importance
from rankgrad.export import export_bundle
from rankgrad.losses import ApproxNDCG
from rankgrad.metrics import NDCG
from rankgrad.models import FeatureRanker

QUERIES, ITEMS, STEPS = 120, 20, 80
NAMES = ["clicks", "title match", *(f"noise {number}" for number in range(1, 9))]


def draw_table(seed: int) -> FeatureTable:
    """Lists whose grades follow the logarithm of the clicks and the square of the title match."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(QUERIES * ITEMS, len(NAMES), generator=generator)
    features[:, 0] = features[:, 0].mul(2).exp()
    signal = features[:, 0].log() / 2 + features[:, 1].square()
    noise = 0.3 * torch.randn(len(signal), generator=generator)
    labels = torch.bucketize(signal + noise, torch.tensor([1.0, 2.0, 3.0])).float()
    borders = torch.arange(0, QUERIES * ITEMS + 1, ITEMS)
    return FeatureTable(features, labels, borders, tuple(map(str, range(QUERIES))))


def train(table: FeatureTable) -> FeatureRanker:
    """Fit a ranker with nDCG itself, made soft, as the loss."""
    torch.manual_seed(0)
    ranker = FeatureRanker(len(NAMES), hidden=(32, 16), dropout=0.0)
    ranker.fit_transform(table.features)
    loss, optimizer = ApproxNDCG(), torch.optim.AdamW(ranker.parameters(), lr=1e-2)
    lists = list(zip(table.features.split(ITEMS), table.labels.split(ITEMS), strict=True))
    batches = [collate_features(lists[first : first + 30]) for first in range(0, QUERIES, 30)]
    for step in range(STEPS):
        batch = batches[step % len(batches)]
        optimizer.zero_grad()
        loss(ranker(batch.features), batch.labels, batch.mask).backward()
        optimizer.step()
    return ranker.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="keep the plot of the importances here")
    plot = parser.parse_args().plot

    ranker, held_out = train(draw_table(seed=0)), draw_table(seed=1)
    features, labels = held_out.features.view(QUERIES, ITEMS, -1), held_out.labels.view(QUERIES, ITEMS)
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        export_bundle(ranker, bundle, feature_names=NAMES)
        exported = deploy.load(bundle)
        assert isinstance(exported, deploy.FeatureRanker)
        scores = np.stack([*exported.score(list(features.numpy()))])
        importance = permutation_importance(ranker, held_out, names=NAMES, repeats=3)
        plot_importance(importance, plot or Path(folder) / "importance.png")

    with torch.no_grad():
        by_torch = ranker.forward_lists(features, torch.ones_like(labels, dtype=torch.bool))
    assert np.allclose(scores, by_torch.numpy(), atol=1e-5)
    quality = NDCG(k=10)(torch.from_numpy(scores), labels).mean().item()
    print(f"nDCG@10 on held-out queries, scored without torch: {quality:.3f}")
    for feature in importance.order()[:4]:
        low, high = importance.interval(feature)
        print(f"{NAMES[feature]:>12}  drop {importance.mean[feature]:.3f} [{low:.3f}, {high:.3f}]")
    assert quality > 0.85
    assert set(importance.order()[:2]) == {0, 1}


if __name__ == "__main__":
    main()
