"""Gradient descent on nDCG itself: free scores of random lists, moved until the metric is close to 1.

python examples/soft_rank_gradient.py
"""

import torch

from rankgrad.losses import ApproxNDCG
from rankgrad.metrics import ndcg


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (16, 30), generator=generator).float()
    scores = torch.randn(16, 30, generator=generator).requires_grad_()
    before = ndcg(scores.detach(), labels, k=10).mean().item()

    loss_of = ApproxNDCG(temperature=0.1)
    optimizer = torch.optim.Adam([scores], lr=0.05)
    for step in range(201):
        loss = loss_of(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step:3}   loss {loss.item():.4f}   nDCG@10 {ndcg(scores.detach(), labels, k=10).mean():.4f}")

    after = ndcg(scores.detach(), labels, k=10).mean().item()
    assert before < 0.7
    assert after > 0.95, f"nDCG@10 went from {before:.3f} to {after:.3f} only"


if __name__ == "__main__":
    main()
