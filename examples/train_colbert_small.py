"""A training loop without Lightning: a ColBERT on a few docstrings, with the other queries' documents as negatives.

Needs rankgrad[demo] for the MiniLM weights.

    python examples/train_colbert_small.py
"""

import torch

from rankgrad.data import CandidateList, ListCollate, pydoc_collection
from rankgrad.losses import InfoNCELoss
from rankgrad.metrics import ReciprocalRank
from rankgrad.models import ColBERT
from rankgrad.tokens import LateInteractionRules

STEPS = 6


def main() -> None:
    torch.manual_seed(0)
    task = pydoc_collection(standard_library=False, packages=["asyncio", "concurrent.futures"]).task("train")
    pairs = [
        CandidateList(text, (task.documents.text(name),), (1.0,))
        for name, text in zip(task.queries.ids[:16], task.queries.texts, strict=False)
    ]
    model = ColBERT.from_pretrained("minilm", rules=LateInteractionRules(document_length=64), dim=64)
    batch = ListCollate(model.tokenizer, in_batch_negatives=True)(pairs)
    loss_of, metric = InfoNCELoss(temperature=1.0), ReciprocalRank()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)

    losses, ranks = [], []
    for step in range(STEPS):
        scores = model(batch.features)
        loss = loss_of(scores, batch.labels, batch.mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        ranks.append(metric(scores.detach(), batch.labels, batch.mask).mean().item())
        print(f"step {step:2}   loss {losses[-1]:.4f}   MRR of the batch {ranks[-1]:.3f}")

    assert losses[-1] < 0.5 * losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f} only"
    assert ranks[-1] >= ranks[0]


if __name__ == "__main__":
    main()
