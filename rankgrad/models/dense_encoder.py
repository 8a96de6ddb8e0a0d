"""The dense encoder: one vector a text, compared by its direction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize as unit

from rankgrad._checks import InputError
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.collate import LateInteractionFeatures, TextTokens
from rankgrad.models import _folder, dense_encoder_layout
from rankgrad.models._dense_modules import leading_coordinates
from rankgrad.models._lengths import CutReport, positions, within
from rankgrad.models._products import products
from rankgrad.models._split_scores import encoded, split_scores
from rankgrad.models._vocabulary import check_vocabulary
from rankgrad.modules.pooling import POOLINGS, StatePooling, pool_states
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.modules.text_encoder import TextEncoder
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Similarity = Literal["cosine", "dot"]


class DenseEncoder(nn.Module):
    """Encode queries and documents into one vector each, and score them by cosine or dot product.

    Args:
        backbone: an ``AutoModel`` encoder, or a decoder without its head (then with ``pooling="last"``).
        tokenizer: its fast tokenizer.
        pooling: how token states become one vector, see :func:`rankgrad.modules.pool_states`.
        layers: applied to that vector, in order.
        normalize: give embeddings of unit length.
        similarity: ``cosine``, or ``dot`` for embeddings whose length means something.
        scale: times the similarities, the inverse of a temperature: 20 is usual with a softmax loss over cosines.
        query_prompt, document_prompt: text put before each query and document.
        query_length, document_length: tokens, special ones included, at most what the encoder can read; a None
            ``query_length`` is ``document_length``.
        matryoshka_dims: widths to train. In training mode scores then come as ``[widths, queries, documents]``, one
            table from the leading coordinates of each width; see :class:`rankgrad.training.MatryoshkaLoss`.
        truncate_dim: embed into the leading coordinates only; None = all.

    Shape:
        - features: from :class:`rankgrad.data.ListCollate`
        - returns: float32 scores ``[queries, candidates]``, or, with in-batch negatives, ``[queries, documents]``

    Raises:
        InputError: for an unknown option, or a width that is not there.

    Reference:
        Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question Answering", EMNLP 2020. Kusupati et al.,
        "Matryoshka Representation Learning", NeurIPS 2022.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: PreTrainedTokenizerFast,
        *,
        pooling: StatePooling = "mean",
        layers: Sequence[ProjectionLayer] = (),
        normalize: bool = True,
        similarity: Similarity = "cosine",
        scale: float = 1.0,
        query_prompt: str = "",
        document_prompt: str = "",
        query_length: int | None = None,
        document_length: int = 256,
        matryoshka_dims: Sequence[int] = (),
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise InputError(f"pooling={pooling!r} is unknown: choose one of {', '.join(POOLINGS)}")
        if similarity not in ("cosine", "dot"):
            raise InputError(f"similarity={similarity!r} is unknown: choose cosine or dot")
        if not scale > 0:
            raise InputError(f"scale={scale}: similarities need a factor above 0")
        rules = LateInteractionRules(
            query_length=document_length if query_length is None else query_length,
            document_length=document_length,
            query_expansion=False,
            skip_words=(),
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )
        self.text_tokenizer = tokenizer
        check_vocabulary(tokenizer, backbone)
        self.encoder = TextEncoder(backbone)
        self.rules = within(rules, positions(self.encoder))
        self.tokenizer = LateInteractionTokenizer(
            tokenizer.backend_tokenizer, self.rules, mask_id=0, pad_id=_folder.token_id(tokenizer, "pad", "eos")
        )
        self.texts = CutReport(self.tokenizer, rules)
        self.pooling: StatePooling = pooling
        self.layers = nn.ModuleList(layers)
        self.normalize = normalize
        self.similarity: Similarity = similarity
        self.scale = scale
        self.full_dim = layers[-1].out_features if layers else self.encoder.hidden_size
        self.matryoshka_dims = tuple(matryoshka_dims)
        for width in self.matryoshka_dims:
            self._check_width("matryoshka_dims", width)
        self.truncate(truncate_dim)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = _folder.MINILM,
        *,
        pooling: StatePooling | None = None,
        normalize: bool | None = None,
        similarity: Similarity | None = None,
        scale: float | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        query_length: int | None = None,
        document_length: int | None = None,
        matryoshka_dims: Sequence[int] | None = None,
        truncate_dim: int | None = None,
        trust_remote_code: bool = False,
    ) -> DenseEncoder:
        """Load a model that we or sentence-transformers saved, or start one from any encoder.

        Args:
            name: a folder, a hub id, or ``"minilm"`` (the packaged all-MiniLM-L6-v2).
            pooling, normalize, similarity, scale, query_prompt, document_prompt, query_length, document_length,
                matryoshka_dims, truncate_dim: as in the class; None takes the folder's own, else the class's default.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no model, are truncated, or hold modules that are not read.
        """
        source = _folder.resolve(name)
        saved = dense_encoder_layout.read(source)
        tokenizer = _folder.load_tokenizer(source, trust_remote_code=trust_remote_code)
        if saved.lower_case:
            _folder.lower_case(tokenizer)
        given: dict[str, Any] = {
            "pooling": pooling,
            "normalize": normalize,
            "similarity": similarity,
            "scale": scale,
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
            "query_length": query_length,
            "document_length": document_length,
            "matryoshka_dims": matryoshka_dims,
            "truncate_dim": truncate_dim,
        }
        options = saved.options | {option: value for option, value in given.items() if value is not None}
        beside = () if saved.own else None
        backbone = _folder.load_backbone(source, trust_remote_code=trust_remote_code, beside=beside)
        return cls(backbone, tokenizer, layers=saved.layers, **options).eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a complete folder in sentence-transformers' layout; all of it or nothing."""
        check_replaceable(folder, _folder.CONFIG)
        with atomic_folder(folder) as temporary:
            _folder.save_backbone(self.backbone, temporary)
            _folder.save_tokenizer(self.text_tokenizer, temporary)
            layers = [layer for layer in self.layers if isinstance(layer, ProjectionLayer)]
            extras: dict[str, Any] = {"scale": self.scale, "matryoshka_dims": list(self.matryoshka_dims)}
            if self.truncate_dim is not None:
                # The library has no place for a width; a layer that takes the leading coordinates says the same.
                layers.append(leading_coordinates(self.full_dim, self.truncate_dim))
                extras["truncate_dim"] = self.truncate_dim
            dense_encoder_layout.write(
                temporary,
                self.rules,
                layers,
                hidden_size=self.encoder.hidden_size,
                pooling=self.pooling,
                normalize=self.normalize,
                similarity=self.similarity,
                extras=extras,
            )

    def truncate(self, width: int | None) -> DenseEncoder:
        """Embed into the first ``width`` coordinates from now on; None = all.

        Raises:
            InputError: for a width that is not there.
        """
        if width is not None:
            self._check_width("truncate_dim", width)
        self.truncate_dim = width
        return self

    @property
    def backbone(self) -> nn.Module:
        """The transformers model inside."""
        return self.encoder.backbone

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.truncate_dim or self.full_dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def encode(self, tokens: TextTokens) -> Tensor:
        """Embeddings of a padded batch: float32 ``[rows, dim]``."""
        hidden = self.encoder(tokens.input_ids, tokens.attention_mask, torch.zeros_like(tokens.input_ids))
        return self.pooled(hidden, tokens.attention_mask)

    def pooled(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Embeddings from hidden states ``[rows, tokens, hidden]``: float32 ``[rows, dim]``."""
        pooled = pool_states(hidden, mask, method=self.pooling)
        for layer in self.layers:
            pooled = layer(pooled.to(next(layer.parameters(), pooled).dtype))
        return self._leading(pooled.float(), self.truncate_dim)

    def embed_queries(self, tokens: TextTokens) -> Tensor:
        """Embeddings of a padded batch of tokenized queries."""
        return self.encode(tokens)

    def embed_documents(self, tokens: TextTokens) -> Tensor:
        """Embeddings of a padded batch of tokenized documents."""
        return self.encode(tokens)

    def compare(self, queries: Tensor, query_mask: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Score every embedded query with the documents of every group of (embeddings, mask): the columns, in order."""
        documents = torch.cat([rows for rows, _ in groups])
        if not (self.training and self.matryoshka_dims):
            return self._similarities(queries, documents)
        widths = self.matryoshka_dims
        return torch.stack([self._similarities(self._leading(queries, k), self._leading(documents, k)) for k in widths])

    def forward(self, features: LateInteractionFeatures) -> Tensor:
        """Score the lists of a batch."""
        return split_scores(self, features)

    def score(self, queries: Sequence[str], documents: Tensor) -> Tensor:
        """Score every query with every encoded document: float32 ``[queries, documents]``.

        Raises:
            InputError: for an empty query or an empty batch.
        """
        return self._similarities(self.encode_queries(queries), documents.to(self.device))

    def encode_queries(self, texts: Sequence[str], *, batch_size: int = 32) -> Tensor:
        """Embeddings of query texts, with a gradient in training mode alone: float32 ``[queries, dim]``.

        Raises:
            InputError: for an empty query or an empty batch.
        """
        return encoded(self, texts, "query", self.texts.queries, self.embed_queries, batch_size=batch_size)

    def encode_documents(self, texts: Sequence[str], *, batch_size: int = 32) -> Tensor:
        """Embeddings of document texts, with a gradient in training mode alone: float32 ``[documents, dim]``."""
        tokenize, embed = self.texts.documents, self.embed_documents
        return encoded(self, texts, "document", tokenize, embed, batch_size=batch_size)

    def _leading(self, embeddings: Tensor, width: int | None) -> Tensor:
        leading = embeddings if width is None else embeddings[..., :width]
        return unit(leading, dim=-1) if self.normalize else leading

    def _similarities(self, queries: Tensor, documents: Tensor) -> Tensor:
        if self.similarity == "cosine" and not self.normalize:
            queries, documents = unit(queries, dim=-1), unit(documents, dim=-1)
        return self.scale * products(queries, documents)

    def _check_width(self, name: str, width: int) -> None:
        if not 1 <= width <= self.full_dim:
            raise InputError(f"{name}: {width} of {self.full_dim} coordinates; choose 1 to {self.full_dim}")
