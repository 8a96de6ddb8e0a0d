"""What a graph was made of."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn


def provenance(model: nn.Module) -> dict[str, Any]:
    """Number of parameters, a digest of names and weights, torch's version.

    The digest is that of the float32 weights in the order of their names: two exports of one model agree in it.

    Example:
        >>> first, second = (provenance(nn.Linear(2, 1).requires_grad_(False)) for _ in range(2))
        >>> first["parameters"], first["weights_sha256"] == second["weights_sha256"]
        (3, False)
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return {
        "parameters": sum(each.numel() for each in model.parameters()),
        "weights_sha256": digest.hexdigest(),
        "torch_version": str(torch.__version__),
    }
