"""The second stage: MaxSim between a query's tokens and the tokens of the documents that came in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad._digest import digest_of_texts
from rankgrad._index_files import read_index, write_index
from rankgrad._modes import frozen, learns
from rankgrad.ops import maxsim
from rankgrad.rerank._gather import gather_packed, gather_padded
from rankgrad.rerank._splice import check_ranking, check_stage, splice
from rankgrad.types import PackedTokens, Queries, Ranking

_CHUNK = 256


class LateInteractionEncoder(Protocol):
    """What the stage needs of a ColBERT: a torch model, or one of ``rankgrad.deploy`` (numpy)."""

    def encode_queries(self, texts: Sequence[str]) -> Any:
        """Embeddings ``[queries, tokens, dim]`` and mask ``[queries, tokens]``."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Any:
        """Embeddings ``[total_tokens, dim]`` and ``cu_seqlens`` ``[documents + 1]``."""
        ...


class LateInteractionReranker(nn.Module):
    r"""Reorder the first ``k`` documents of a ranking by MaxSim; the rest follow in their order.

    The score of a document is the sum over the query's tokens of the highest similarity to one of the document's
    tokens. The collection is encoded once, at the first use or by :meth:`index`, into buffers. With gradients enabled
    and an encoder in training mode the candidates are encoded afresh instead, in the graph of the loss; as the encoder
    changes then, the buffers are dropped, as they are by :meth:`train`. Whoever changes its weights by another road
    calls :meth:`index` again.

    Args:
        encoder: a :class:`rankgrad.models.ColBERT` or anything with its two ``encode_`` methods.
        documents: the collection that the rankings' row numbers refer to.
        k: documents to reorder.
        first_stage_weight: how much of the incoming score is added to the model's own, which often misses what words in
            common say. :func:`rankgrad.training.fit_first_stage_weight` finds it on validation queries.

    Shape:
        ``embeddings`` float32 ``[total_tokens, dim]`` and ``cu_seqlens`` int32 ``[documents + 1]``: the index; None
        before.

    Raises:
        InputError: for an empty collection, ``k`` below 1, or a weight that is not finite.

    Reference:
        O. Khattab, M. Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction
        over BERT", SIGIR 2020.

    Example:
        >>> class Letters:  # one token a letter, on one axis each
        ...     def encode_queries(self, texts):
        ...         return self.encode_documents(texts).embeddings[None], torch.ones(1, len(texts[0]), dtype=torch.bool)
        ...     def encode_documents(self, texts):
        ...         eye, lengths = torch.eye(128), torch.tensor([0, *map(len, texts)])
        ...         return PackedTokens(eye[[ord(c) for c in "".join(texts)]], lengths.cumsum(0).int())
        >>> stage = LateInteractionReranker(Letters(), ["xyz", "abz", "abc"], k=3)
        >>> incoming = Ranking(torch.tensor([[0, 1, 2]]), torch.tensor([[3.0, 2.0, 1.0]]), torch.ones(1, 3).bool())
        >>> outgoing = stage(["abc"], incoming)
        >>> outgoing.ids.tolist(), outgoing.scores.tolist()
        ([[2, 1, 0]], [[3.0, 2.0, 0.0]])
    """

    embeddings: Tensor | None
    cu_seqlens: Tensor | None

    def __init__(
        self,
        encoder: LateInteractionEncoder,
        documents: Sequence[str],
        *,
        k: int = 100,
        first_stage_weight: float = 0.0,
    ) -> None:
        super().__init__()
        check_stage(documents, k, first_stage_weight)
        self.encoder = encoder
        self.documents = tuple(documents)
        self.k = k
        self.first_stage_weight = first_stage_weight
        self.register_buffer("embeddings", None)
        self.register_buffer("cu_seqlens", None)
        if isinstance(encoder, nn.Module):
            self.training = encoder.training

    def forward(self, queries: Queries, ranking: Ranking) -> Ranking:
        """Reorder ``ranking``.

        Raises:
            InputError: for an empty query, or a ranking of other queries or of another collection.
        """
        check_ranking(queries, ranking, len(self.documents))
        ids, mask = ranking.ids[:, : self.k], ranking.mask[:, : self.k]
        if not mask.any():
            return splice(ranking, torch.full(ids.shape, -torch.inf, device=ids.device))
        if learns(self.encoder):
            self._drop()
            scores = self._fresh_scores(queries, ids, mask)
        else:
            scores = self._index_scores(queries, ids, mask)
        return splice(ranking, scores, first_stage_weight=self.first_stage_weight)

    def index(self, *, progress: bool = False) -> LateInteractionReranker:
        """Encode the collection now, whether or not there is an index already.

        Args:
            progress: show a bar on stderr.
        """
        starts: Iterable[int] = range(0, len(self.documents), _CHUNK)
        if progress:
            console = require("rich.console", "evaluate").Console(stderr=True)
            starts = require("rich.progress", "evaluate").track(starts, "encoding documents", console=console)
        embeddings, lengths = [], []
        # An index outlives the caller's inference mode, whose tensors could not be loaded over or trained beside.
        with torch.inference_mode(False), frozen(self.encoder):
            for start in starts:
                packed = _tensors(self.encoder.encode_documents(self.documents[start : start + _CHUNK]))
                embeddings.append(packed.embeddings)
                lengths.append(packed.cu_seqlens.diff())
        self._set(torch.cat(embeddings), torch.nn.functional.pad(torch.cat(lengths).cumsum(0), (1, 0)))
        return self

    def save_index(self, folder: str | Path) -> None:
        """Write the index, encoding the collection first where that is still to be done; all of it or nothing.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        packed = self._packed()
        settings = {"documents": len(self.documents), "fingerprint": digest_of_texts(self.documents)}
        write_index(folder, "late_interaction", packed._asdict(), settings)

    def load_index(self, folder: str | Path) -> LateInteractionReranker:
        """Read an index that :meth:`save_index` wrote for the same documents.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or the index is of other documents.
        """
        tensors, settings = read_index(folder, "late_interaction")
        if settings.get("fingerprint") != digest_of_texts(self.documents):
            raise InputError(
                f"{folder} indexes {settings.get('documents')} other documents than these {len(self.documents)}: "
                "pass the same ones, or call index() and save_index()"
            )
        if not {"embeddings", "cu_seqlens"} <= tensors.keys():
            raise InputError(f"{folder} holds {sorted(tensors)}, not embeddings and cu_seqlens: save the index again")
        device = next(self.parameters(), torch.empty(0)).device
        self._set(tensors["embeddings"].to(device), tensors["cu_seqlens"].to(device))
        return self

    def train(self, mode: bool = True) -> LateInteractionReranker:
        """Set the mode; training mode drops the index, as the encoder is about to change."""
        if mode and isinstance(self.encoder, nn.Module):
            self._drop()
        super().train(mode)
        return self

    def _index_scores(self, queries: Queries, ids: Tensor, mask: Tensor) -> Tensor:
        """MaxSim of each query with its own candidates, from the index: ``[queries, candidates]``."""
        packed = self._packed()
        with frozen(self.encoder):
            embeddings, query_mask = (
                torch.as_tensor(part).to(packed.embeddings.device) for part in self.encoder.encode_queries(queries)
            )
        if embeddings.shape[-1] != packed.embeddings.shape[-1]:
            raise InputError(
                f"queries have {embeddings.shape[-1]} dimensions, the index {packed.embeddings.shape[-1]}: "
                "it is another encoder's; call index()"
            )
        scores = torch.full(ids.shape, -torch.inf, device=ids.device)
        for row in range(len(ids)):
            candidates = gather_packed(packed, ids[row][mask[row]].to(packed.cu_seqlens.device))
            found = maxsim(
                embeddings[row : row + 1],
                candidates.embeddings,
                query_mask[row : row + 1],
                document_cu_seqlens=candidates.cu_seqlens,
            )
            scores[row, mask[row]] = found[0].to(ids.device)
        return scores

    def _fresh_scores(self, queries: Queries, ids: Tensor, mask: Tensor) -> Tensor:
        """The same with gradients: each distinct candidate is encoded once, now."""
        rows, places = torch.where(mask, ids, ids.amax()).unique(return_inverse=True)
        packed = _tensors(self.encoder.encode_documents([self.documents[row] for row in rows.tolist()]))
        embeddings, query_mask = self.encoder.encode_queries(queries)
        documents, document_mask = gather_padded(packed, places.to(packed.cu_seqlens.device))
        scores = maxsim(embeddings, documents, query_mask, document_mask, layout="candidates")
        return scores.to(ids.device).masked_fill(~mask, -torch.inf)

    def _packed(self) -> PackedTokens:
        """The index, made now where there is none."""
        if self.embeddings is None:
            self.index()
        return PackedTokens(cast(Tensor, self.embeddings), cast(Tensor, self.cu_seqlens))

    def _set(self, embeddings: Tensor, cu_seqlens: Tensor) -> None:
        self.embeddings, self.cu_seqlens = embeddings, cu_seqlens.to(torch.int32)

    def _drop(self) -> None:
        self.embeddings = self.cu_seqlens = None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # A buffer that is None has no shape to load into; an index comes in whatever size it has.
        for name in ("embeddings", "cu_seqlens"):
            if prefix + name in state_dict:
                old, new = getattr(self, name), state_dict[prefix + name]
                setattr(self, name, torch.empty_like(new, device=new.device if old is None else old.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        count = len(self.documents) if self.cu_seqlens is None else len(self.cu_seqlens) - 1
        if count != len(self.documents):
            raise InputError(
                f"the state indexes {count} documents, not these {len(self.documents)}: pass the same ones"
            )


def _tensors(packed: Any) -> PackedTokens:
    """Packed tokens as tensors, wherever they come from."""
    embeddings, cu_seqlens = (torch.as_tensor(part) for part in packed)
    return PackedTokens(embeddings, cu_seqlens)
