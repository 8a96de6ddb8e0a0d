"""What each kind of model puts into an ahead-of-time package, and what is made of it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.data.collate import TextTokens
from rankgrad.deploy.bundle import FEATURE_RANKER, fingerprint
from rankgrad.deploy.feature_ranker import PaddedRows
from rankgrad.export.feature_probe import SHAPES, random_rows
from rankgrad.export.files import longest, tokenizer_settings
from rankgrad.export.package_files import MARKER, WEIGHTS, Package, machine, read_tokenizer
from rankgrad.export.pair_graph import packed_logits
from rankgrad.export.probe import Shape, random_tokens, shapes
from rankgrad.export.reference import Ranker, exportable
from rankgrad.export.token_graph import INPUTS, TokenGraph, as_ranker, is_listwise, kind_of, padded_forward, weights_of
from rankgrad.models import ColBERT, CrossEncoder, DenseEncoder, FeatureRanker, SparseEncoder
from rankgrad.models._batches import on_device
from rankgrad.tokens import PairTokenizer

Packaged: TypeAlias = Ranker | DenseEncoder | SparseEncoder | FeatureRanker
Opened: TypeAlias = (
    deploy.CrossEncoder | deploy.ColBERT | deploy.DenseEncoder | deploy.SparseEncoder | deploy.FeatureRanker
)
# A compiler takes a size of 0 or 1 for a fixed one.
_FEWEST = 2


class FeatureGraph:
    """Run a function of padded lists of features as :class:`rankgrad.deploy.Graph` runs an ONNX file."""

    def __init__(self, run: Callable[..., Tensor], device: torch.device) -> None:
        self._run, self._device = run, device

    @torch.inference_mode()
    def __call__(self, rows: PaddedRows) -> np.ndarray:
        """The scores ``[lists, items]``."""
        items = rows.mask.shape[1]
        more = (0, max(0, _FEWEST - items))
        features, mask = np.pad(rows.features, ((0, 0), more, (0, 0))), np.pad(rows.mask, ((0, 0), more))
        found = self._run(*(torch.from_numpy(each).to(self._device) for each in (features, mask)))
        return found[:, :items].float().cpu().numpy()


def checked_kind(model: Packaged) -> str:
    """The kind's name, as :func:`rankgrad.deploy.load` knows it.

    Raises:
        TypeError: for a model of another kind.
        InputError: for a model in training mode, without a graph of padded rows, or a feature ranker that is not
            fitted or not in float32.
    """
    if isinstance(model, CrossEncoder | ColBERT):
        return kind_of(model)
    if not isinstance(model, DenseEncoder | SparseEncoder | FeatureRanker):
        known = "a CrossEncoder, a ColBERT, a DenseEncoder, a SparseEncoder or a FeatureRanker"
        raise TypeError(f"model: expected {known}, got {type(model).__name__}")
    if model.training:
        raise InputError("model: it is in training mode, and dropout would be compiled in; call model.eval() first")
    if not isinstance(model, FeatureRanker):
        return "dense_encoder" if isinstance(model, DenseEncoder) else "sparse_encoder"
    model.transform.check_fitted()
    if device_and_dtype(model)[1] != torch.float32:
        raise InputError("model: features are float32, and this FeatureRanker is not; call model.float() first")
    return FEATURE_RANKER


def device_and_dtype(model: Packaged) -> tuple[torch.device, torch.dtype]:
    """Where the weights are, and of what type."""
    weight = next(model.parameters())
    return weight.device, weight.dtype


def forward_of(model: Packaged) -> Callable[..., Tensor]:
    """The function that is compiled."""
    if isinstance(model, FeatureRanker):
        return model.forward_lists
    if isinstance(model, DenseEncoder | SparseEncoder):
        return lambda ids, mask: model.encode(TextTokens(ids, mask, torch.zeros_like(ids), mask.bool()))
    return padded_forward(model)


def itself(model: Packaged) -> Callable[..., Tensor]:
    """The function as the model itself computes it, which a package is compared with."""
    if not (isinstance(model, CrossEncoder) and model.options.packed_only):
        return forward_of(model)
    depth = model.encoder.depth
    return lambda ids, mask, segments: packed_logits(model, TextTokens(ids, mask, segments, mask.bool()), depth)


def traced_with(model: Packaged) -> tuple[Tensor, ...]:
    """Inputs without a size of 0 or 1, which would be taken as fixed, and with padding that keeps the mask in."""
    device = device_and_dtype(model)[0]
    if isinstance(model, FeatureRanker):
        mask = torch.ones(2, 5, dtype=torch.bool, device=device)
        mask[1, 3:] = False
        return torch.ones(2, 5, model.features, device=device), mask
    batch = on_device(random_tokens(model.tokenizer, Shape(2, 8, padding=3)), np.arange(2), device)
    return tuple(getattr(batch, name) for name in INPUTS[checked_kind(model)])


def described(model: Packaged, folder: Path) -> Package:
    """What the package says of itself; the folder, which has the code, gets what only this kind has.

    Args:
        folder: of the package.
    """
    kind, options = checked_kind(model), {}
    there = machine(device_and_dtype(model)[0].type)
    weights = weights_of(model) if isinstance(model, ColBERT) else None
    if isinstance(model, SparseEncoder) and model.term_weights is not None:
        weights = model.term_weights.detach().float().index_fill(0, model.special_ids, 0.0).cpu().numpy()
    if weights is not None:
        np.save(folder / WEIGHTS, weights)
    files = {path.name: fingerprint(path) for path in sorted(folder.iterdir())}
    if isinstance(model, FeatureRanker):
        options = {"features": model.features, "listwise": len(model.attention) > 0}
        return Package(kind, there, tokenizer={}, dim=1, longest=0, pad_id=0, files=files, options=options)
    if isinstance(model, DenseEncoder):
        options = {"similarity": model.similarity, "normalize": model.normalize, "scale": model.scale}
    if is_listwise(model):
        options = {"listwise": True}
    if isinstance(model, SparseEncoder):
        options = {f"{side}_top_k": k for side, k in model.top_k.items()}
    width = model.width if isinstance(model, SparseEncoder) else 1 if isinstance(model, CrossEncoder) else model.dim
    settings, pad_id = tokenizer_settings(model), model.tokenizer.pad_id
    return Package(kind, there, settings, width, longest(model), pad_id, files, options)


def runner(run: Callable[..., Tensor], package: Package) -> TokenGraph | FeatureGraph:
    """What puts a batch into a function and gives its output in numpy."""
    device = torch.device(package.machine["device"])
    if package.kind == FEATURE_RANKER:
        return FeatureGraph(run, device)
    return TokenGraph(run, kind=package.kind, device=device, pad_id=package.pad_id, longest=package.longest)


def probes(model: Packaged) -> list[tuple[Any, Any]]:
    """Shapes, and random inputs of each."""
    if isinstance(model, FeatureRanker):
        here = exportable(model)
        return [(shape, random_rows(here, shape, seed=seed)) for seed, shape in enumerate(SHAPES)]
    return [(shape, random_tokens(model.tokenizer, shape)) for shape in shapes(longest(model))]


def opened_package(folder: Path, package: Package, load: Callable[[], TokenGraph | FeatureGraph]) -> Opened:
    """Texts or features in, scores or embeddings out, by the same code as an exported bundle.

    Args:
        load: opens the code; it is called when the settings have been read.

    Raises:
        InputError: for settings that cannot be used.
    """
    options = package.options
    try:
        if package.kind == FEATURE_RANKER:
            return deploy.FeatureRanker(_graph(load()), features=options["features"], listwise=options["listwise"])
        tokenizer = read_tokenizer(folder, package)
        weights = np.load(folder / WEIGHTS) if WEIGHTS in package.files else None
        if isinstance(tokenizer, PairTokenizer) or package.kind == "colbert":
            return as_ranker(cast(TokenGraph, load()), tokenizer, dim=package.dim, query_weights=weights, **options)
        if package.kind == "dense_encoder":
            return deploy.DenseEncoder(_graph(load()), tokenizer, dim=package.dim, **options)
        return deploy.SparseEncoder(_graph(load()), tokenizer, width=package.dim, query_weights=weights, **options)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder / MARKER}: the options cannot be used ({error}): export the package again"
        ) from error


def _graph(found: TokenGraph | FeatureGraph) -> deploy.Graph:
    return cast(deploy.Graph, found)


class Traced(nn.Module):
    """A model whose forward is the function that is compiled."""

    def __init__(self, model: Packaged) -> None:
        super().__init__()
        self.run = forward_of(model)
        self.model = getattr(self.run, "__self__", model)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run it."""
        return self.run(*inputs)
