"""Regression trained on the rank correlation itself: the soft Spearman coefficient of a batch, beside squared errors.

Ten measurements of 442 patients, the course of their diabetes a year later. The first loss trains their order, no more;
the order is what is measured, on patients held out, in several splits. Where labels come on another scale, here
exponential, the soft coefficient trains the same network, and squared errors another one. Needs scikit-learn.

    python examples/soft_spearman.py [--steps N] [--splits N]
"""

import argparse
from collections.abc import Callable

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn

from rankgrad.ops import hard_rank, soft_rank


def correlation(one: Tensor, other: Tensor) -> Tensor:
    one, other = one - one.mean(), other - other.mean()
    return one @ other / (one.norm() * other.norm())


def soft_spearman_loss(predictions: Tensor, labels: Tensor) -> Tensor:
    ranks = soft_rank(predictions, temperature=0.3, relative=True)
    return 1.0 - correlation(ranks, hard_rank(labels, ties="average"))


def exponential_loss(predictions: Tensor, labels: Tensor) -> Tensor:
    stretched = (2.0 * labels).exp()
    return nn.functional.mse_loss(predictions, (stretched - stretched.mean()) / stretched.std())


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared errors": nn.functional.mse_loss,
    "squared errors of exponential labels": exponential_loss,
    "soft Spearman (labels on any scale)": soft_spearman_loss,
}


def spearman(predictions: Tensor, labels: Tensor) -> float:
    return correlation(hard_rank(predictions, ties="average"), hard_rank(labels, ties="average")).item()


def held_out(name: str, inputs: Tensor, labels: Tensor, *, seed: int, steps: int) -> float:
    """Spearman's coefficient on 142 patients of a network trained on the other 300."""
    torch.manual_seed(seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    seen, unseen = order[:300], order[300:]
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Dropout(0.2), nn.Linear(32, 1), nn.Flatten(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    for _ in range(steps):
        loss = LOSSES[name](model(inputs[seen]), labels[seen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return spearman(model(inputs[unseen]), labels[unseen])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--splits", type=int, default=10)
    arguments = parser.parse_args()
    inputs, labels = (torch.as_tensor(part).float() for part in load_diabetes(return_X_y=True))
    inputs, labels = inputs / inputs.std(dim=0), (labels - labels.mean()) / labels.std()
    found: dict[str, list[float]] = {name: [] for name in LOSSES}
    for seed in range(arguments.splits):
        for name, values in found.items():
            values.append(held_out(name, inputs, labels, seed=seed, steps=arguments.steps))
        print(f"split {seed}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in found.items()))
    print("Spearman's coefficient on patients held out, mean and deviation of the splits, trained on")
    for name, values in found.items():
        spread = torch.tensor(values)
        print(f"{name:40} {spread.mean():.3f} +- {spread.std(correction=0):.3f}")
    assert min(map(min, found.values())) > 0.2


if __name__ == "__main__":
    main()
