"""Learn to read numbers from their order alone: four handwritten digits side by side are a number, and lists of numbers
come with nothing but their order. A network scores each; cross-entropy on the relaxed permutation trains it.

Needs scikit-learn for the digits; images in the test lists are none of those trained on.

    python examples/sort_digits.py [--steps N] [--plot FILE.png]
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from rankgrad.ops import soft_permutation
from rankgrad.ops.soft_methods import PermutationMethod

METHODS: tuple[PermutationMethod, ...] = ("softsort", "neuralsort", "sinkhorn", "network")
LENGTHS = (3, 5, 7, 9, 15)
TRAINED_ON = 5


class Scorer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.digit = nn.Sequential(
            *(nn.Dropout(0.1), nn.Linear(64, 128), nn.ReLU()), *(nn.Dropout(0.3), nn.Linear(128, 32), nn.ReLU())
        )
        self.number = nn.Sequential(nn.Flatten(-2), nn.Linear(4 * 32, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.number(self.digit(images)).squeeze(-1)


def lists(images: Tensor, digits: Tensor, count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images ``[count, length, 4, 64]`` and the order of their numbers, the highest first."""
    chosen = torch.randint(len(images), (count, length, 4), generator=generator)
    numbers = (digits[chosen] * torch.tensor([1000, 100, 10, 1])).sum(-1)
    return images[chosen], numbers.argsort(dim=-1, descending=True)


def train(method: PermutationMethod, images: Tensor, digits: Tensor, steps: int) -> Scorer:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = Scorer()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(steps):
        inputs, order = lists(images, digits, 100, TRAINED_ON, generator)
        # The scores may grow, and with them harden the order; a relative temperature would not let them.
        matrix = soft_permutation(model(inputs), method=method, temperature=1.0)
        loss = -matrix.clamp(min=1e-6).log().gather(-1, order.unsqueeze(-1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % max(steps // 4, 1) == 0:
            print(f"{method:10} step {step:5}   loss {loss.item():.4f}")
    return model.eval()


@torch.no_grad()
def accuracy(model: Scorer, images: Tensor, digits: Tensor, length: int) -> tuple[float, float]:
    """The share of lists in the right order, and of places that hold the right number."""
    inputs, order = lists(images, digits, 1000, length, torch.Generator().manual_seed(1))
    right = model(inputs).argsort(dim=-1, descending=True) == order
    return right.all(dim=-1).float().mean().item(), right.float().mean().item()


def draw(results: dict[str, list[tuple[float, float]]], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for part, (axes, title) in enumerate(zip(figure.subplots(1, 2), ("lists all right", "places right"), strict=True)):
        for method, shares in results.items():
            axes.plot(LENGTHS, [share[part] for share in shares], marker="o", label=method)
        axes.set(title=title, xlabel="numbers in a list", xticks=LENGTHS, ylim=(0, 1))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--plot", metavar="FILE.png", help="save a picture of the results")
    arguments = parser.parse_args()
    images, digits = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    images, order = (images / 16).float(), torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    seen, unseen = order[:1300], order[1300:]

    results = {}
    for method in METHODS:
        model = train(method, images[seen], digits[seen], arguments.steps)
        results[method] = [accuracy(model, images[unseen], digits[unseen], length) for length in LENGTHS]
    print("lists all right (places right), unseen images      " + "".join(f"{f'n = {n}':>16}" for n in LENGTHS))
    for method, shares in results.items():
        print(f"{method:51}" + "".join(f"{f'{whole:.3f} ({part:.3f})':>16}" for whole, part in shares))
    if arguments.plot:
        draw(results, arguments.plot)
    # By chance a sixth of the lists of three are in order.
    assert min(shares[0][0] for shares in results.values()) > 1 / 6


if __name__ == "__main__":
    main()
