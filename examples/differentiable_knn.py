"""Nearest neighbours that train what they measure with: soft weights of the k nearest, and through them an embedding.

Handwritten digits lie somewhere in a larger frame, where comparing pixels helps little. Every training image is
classified by the soft k nearest others; the loss is that of their labels. At the end neighbours are hard again.
Needs scikit-learn for the digits.

    python examples/differentiable_knn.py [--steps N]
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from rankgrad.ops import soft_top_k

K = 9
FRAME = 14


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images of 8 x 8 anywhere in a frame of 14 x 14."""
    frames = images.new_zeros(len(images), 1, FRAME, FRAME)
    for frame, image, (row, column) in zip(
        frames, images, torch.randint(FRAME - 7, (len(images), 2), generator=generator).tolist(), strict=True
    ):
        frame[0, row : row + 8, column : column + 8] = image
    return frames


def accuracy(points: Tensor, labels: Tensor, neighbours: Tensor, theirs: Tensor) -> float:
    """The share whose label most of the k nearest neighbours have."""
    nearest = theirs[torch.cdist(points, neighbours).topk(K, largest=False).indices]
    return (nearest.mode(dim=-1).values == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    order = torch.randperm(len(images), generator=generator)
    frames, labels = shifted((images / 16).float().unflatten(-1, (8, 8))[order], generator), labels[order]
    seen, unseen, known, asked = frames[:1300], frames[1300:], labels[:1300], labels[1300:]

    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(128, 16)),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(steps):
        batch = torch.randperm(len(seen), generator=generator)[:420]
        points = model(seen[batch])
        queries, candidates = points[:100], points[100:]
        distances = torch.cdist(queries, candidates).square()
        weights = soft_top_k(distances, K, temperature=0.1, relative=True, largest=False)
        right = known[batch[:100], None] == known[batch[100:]]
        loss = -((weights * right).sum(dim=-1) / K).clamp(min=1e-6).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % max(steps // 5, 1) == 0:
            print(f"step {step:4}   loss {loss.item():.4f}")

    with torch.no_grad():
        learnt = accuracy(model(unseen), asked, model(seen), known)
    pixels = accuracy(unseen.flatten(1), asked, seen.flatten(1), known)
    print(f"{K} nearest neighbours, {len(unseen)} unseen images: pixels {pixels:.3f}, learnt embedding {learnt:.3f}")
    assert learnt > pixels


if __name__ == "__main__":
    main()
