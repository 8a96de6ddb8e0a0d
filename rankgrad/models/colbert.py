"""ColBERT: queries and documents read apart, compared token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.collate import LateInteractionFeatures, TextTokens
from rankgrad.models import _folder, _late_extras, colbert_layout
from rankgrad.models._equal_calls import call_each
from rankgrad.models._late_documents import packed_documents, scored_states
from rankgrad.models._late_queries import encoded_queries
from rankgrad.models._late_scores import training_scores
from rankgrad.models._late_weights import QueryWeighing, fit_query_weights, new_query_weights, weighed
from rankgrad.models._lengths import CutReport, positions, within
from rankgrad.models._split_scores import split_scores
from rankgrad.models._vocabulary import add_markers
from rankgrad.models.colbert_layout import Layout
from rankgrad.modules.projection import Projection
from rankgrad.modules.projection_layer import ProjectionHead, ProjectionLayer
from rankgrad.modules.text_encoder import TextEncoder
from rankgrad.modules.token_pooling import Pooling, pool_tokens
from rankgrad.modules.token_pruner import TokenPruner
from rankgrad.ops import maxsim
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer
from rankgrad.types import PackedTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class ColBERT(nn.Module):
    """Encode queries and documents into token embeddings and score them by MaxSim.

    Args:
        backbone: an ``AutoModel`` encoder.
        tokenizer: its fast tokenizer. Prefixes it does not know are added to it, and to the encoder's embeddings.
        rules: lengths, prefixes, query expansion and skip list; lengths are lowered to what the encoder can read.
        dim: width of the token embeddings; None keeps the encoder's own, without a projection.
        head: make of the projection, or its very layers; None = one linear layer.
        matryoshka_dims: widths to train. In training mode scores then come as ``[widths, queries, documents]``, one
            table from the leading coordinates of each width; see :class:`rankgrad.training.MatryoshkaLoss`.
        truncate_dim: embed into the leading coordinates only; None = all.
        keep_share: learn which of a document's tokens to keep, see :class:`rankgrad.modules.TokenPruner`; None = all.
        xtr_top_k: train with the scores of :func:`rankgrad.modules.xtr_scores`; None = MaxSim.
        query_weights: weigh a query's tokens by :class:`rankgrad.modules.QueryWeights`: ``fixed``, or ``learned`` from
            where :meth:`fit_idf` puts them; None = all alike.

    Attributes:
        temperature: softness of the maximum in training, see :class:`rankgrad.training.AnnealTemperature`; None = hard.

    Shape:
        - features: from :class:`rankgrad.data.ListCollate`
        - returns: float32 scores ``[queries, candidates]``, or, with in-batch negatives, ``[queries, documents]``

    Raises:
        InputError: for options that do not go together, or query expansion with a tokenizer that has no mask token.

    Reference:
        Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
        BERT", SIGIR 2020. Santhanam et al., "ColBERTv2: Effective and Efficient Retrieval via Lightweight Late
        Interaction", NAACL 2022.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: PreTrainedTokenizerFast,
        *,
        rules: LateInteractionRules | None = None,
        dim: int | None = 128,
        head: ProjectionHead | Sequence[ProjectionLayer] | None = None,
        matryoshka_dims: Sequence[int] = (),
        truncate_dim: int | None = None,
        keep_share: float | None = None,
        xtr_top_k: int | None = None,
        query_weights: QueryWeighing | None = None,
    ) -> None:
        super().__init__()
        rules = rules or LateInteractionRules()
        if xtr_top_k is not None and xtr_top_k < 1:
            raise InputError(f"xtr_top_k={xtr_top_k}: score by at least 1 nearest token, or None for MaxSim")
        add_markers(tokenizer, backbone, [text for text in (rules.query_prefix, rules.document_prefix) if text])
        self.text_tokenizer = tokenizer
        self.encoder = TextEncoder(backbone)
        self.rules = within(rules, positions(self.encoder))
        self.tokenizer = LateInteractionTokenizer(
            tokenizer.backend_tokenizer,
            self.rules,
            mask_id=_folder.mask_id(tokenizer, needed=rules.query_expansion),
            pad_id=_folder.token_id(tokenizer, "pad", "eos"),
        )
        self.texts = CutReport(self.tokenizer, rules)
        if head is None or isinstance(head, ProjectionHead):
            self.projection = Projection(self.encoder.hidden_size, dim, head=head)
        else:
            self.projection = Projection.of_layers(self.encoder.hidden_size, head)
        self.matryoshka_dims = tuple(matryoshka_dims)
        for width in self.matryoshka_dims:
            self.projection.check_width(width)
        self.pruner = None if keep_share is None else TokenPruner(self.projection.full_dim, share=keep_share)
        self.xtr_top_k = xtr_top_k
        self.query_weights = new_query_weights(query_weights, len(tokenizer), matryoshka=bool(matryoshka_dims))
        self.temperature: float | None = None
        self.truncate(truncate_dim)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = _folder.MINILM,
        *,
        rules: LateInteractionRules | None = None,
        dim: int | None = 128,
        head: ProjectionHead | None = None,
        matryoshka_dims: Sequence[int] | None = None,
        truncate_dim: int | None = None,
        keep_share: float | None = None,
        xtr_top_k: int | None = None,
        query_weights: QueryWeighing | None = None,
        trust_remote_code: bool = False,
    ) -> ColBERT:
        """Load a ColBERT that we, PyLate, sentence-transformers or Stanford saved, or start one from any encoder.

        Args:
            name: a folder, a hub id, or ``"minilm"`` (the packaged all-MiniLM-L6-v2).
            rules: None takes the folder's own, else the class's defaults.
            dim, head: of a new projection; a saved model's own projection is loaded whatever is said here.
            matryoshka_dims, truncate_dim, keep_share, query_weights: as in the class; None takes the folder's own.
            xtr_top_k: as in the class; no folder holds it.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no model, are truncated, or belong to another model.
        """
        source = _folder.resolve(name)
        saved = colbert_layout.read(source)
        beside, extras = (None, {}) if saved is None else (saved.beside, saved.extras)
        backbone = _folder.load_backbone(source, trust_remote_code=trust_remote_code, beside=beside)
        tokenizer = _folder.load_tokenizer(source, trust_remote_code=trust_remote_code)
        options = _late_extras.options(extras, matryoshka_dims, keep_share, query_weights, truncate_dim)
        if saved is None:
            return cls(backbone, tokenizer, rules=rules, dim=dim, head=head, xtr_top_k=xtr_top_k, **options).eval()
        own_rules = colbert_layout.final_rules(saved, tokenizer)
        model = cls(backbone, tokenizer, rules=rules or own_rules, head=saved.layers, xtr_top_k=xtr_top_k, **options)
        _late_extras.load(source, extras, model.pruner, model.query_weights)
        return model.eval()

    def save_pretrained(self, folder: str | Path, *, layout: Layout | None = None) -> None:
        """Write a complete folder; all of it or nothing.

        Args:
            folder: new, empty, or a model's.
            layout: ``"pylate"`` (sentence-transformers reads it too), ``"sentence-transformers"``, ``"stanford"``, or
                ``"rankgrad"``; None = PyLate's, where it can hold the model, else our own.

        Raises:
            InputError: when the layout has no place for a part of the model.
        """
        check_replaceable(folder, _folder.CONFIG)
        extras = _late_extras.settings(self.matryoshka_dims, self.projection, self.pruner, self.query_weights)
        layout = _late_extras.layout_for(layout, self.query_weights)
        with atomic_folder(folder) as temporary:
            parts = (self.backbone, self.text_tokenizer, self.rules, self.projection)
            colbert_layout.write(temporary, *parts, extras=extras, layout=layout)
            _late_extras.save(temporary, self.pruner, self.query_weights)

    def truncate(self, width: int | None) -> ColBERT:
        """Embed into the first ``width`` coordinates from now on; None = all.

        Raises:
            InputError: for a width that is not there, or one that the pruner reads beyond.
        """
        if width is not None and self.pruner is not None:
            raise InputError(f"truncate_dim={width}: the pruner reads all coordinates; leave one of them out")
        self.projection.truncate(width)
        return self

    def fit_projection(self, texts: Sequence[str]) -> ColBERT:
        """Start the projection from the principal axes of these documents' token states, instead of at random.

        A few hundred documents are enough; training then begins near the encoder's own similarities.

        Raises:
            InputError: for an empty document or no documents.
        """
        check_texts(texts, "document")
        self.projection.fit(scored_states(self.encoder, self.tokenizer.documents(texts), self.device))
        return self

    def fit_idf(self, texts: Sequence[str]) -> ColBERT:
        """Set the weights of query tokens by how few of these documents hold them, see :class:`QueryWeights`.

        Special tokens weigh as much as a word that no document holds; those that expand queries weigh 1.
        """
        fit_query_weights(self.query_weights, self.text_tokenizer, self.tokenizer, texts)
        return self

    @property
    def backbone(self) -> nn.Module:
        """The transformers model inside."""
        return self.encoder.backbone

    @property
    def dim(self) -> int:
        """Width of the token embeddings."""
        return self.projection.dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The graph that is exported: padded tokens in, float32 unit vectors ``[rows, tokens, dim]`` out."""
        return self.projection(self.encoder(input_ids, attention_mask, torch.zeros_like(input_ids)))

    def encode(self, tokens: TextTokens) -> Tensor:
        """Token embeddings of a padded batch: float32 ``[rows, tokens, dim]``, of unit length."""
        return self.forward_tokens(tokens.input_ids, tokens.attention_mask)

    def embed_queries(self, tokens: TextTokens) -> Tensor:
        """Token embeddings of a padded batch of tokenized queries."""
        return weighed(self.query_weights, self.encode(tokens), tokens.input_ids)

    def embed_documents(self, tokens: TextTokens) -> Tensor:
        """Token embeddings of a padded batch of tokenized documents."""
        return self.encode(tokens)

    def compare(self, queries: Tensor, query_mask: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Score every embedded query with the documents of every group of (embeddings, mask): the columns, in order."""
        if self.training:
            options = {"temperature": self.temperature, "xtr_top_k": self.xtr_top_k, "pruner": self.pruner}
            return training_scores(queries, query_mask, groups, widths=self.matryoshka_dims, **options)
        masks = call_each(self.pruner, lambda group: self._pruned(*group), groups)
        columns = zip(groups, masks, strict=True)
        return torch.cat([maxsim(queries, each, query_mask, mask) for (each, _), mask in columns], dim=-1)

    def forward(self, features: LateInteractionFeatures) -> Tensor:
        """Score the lists of a batch."""
        return split_scores(self, features)

    def score(self, queries: Sequence[str], documents: PackedTokens) -> Tensor:
        """MaxSim of every query with every encoded document: float32 ``[queries, documents]``.

        Raises:
            InputError: for an empty query or an empty batch.
        """
        embeddings, mask = self.encode_queries(queries)
        return maxsim(embeddings, documents.embeddings, mask, document_cu_seqlens=documents.cu_seqlens)

    def encode_queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode query texts: embeddings float32 ``[queries, tokens, dim]`` and mask bool ``[queries, tokens]``.

        They carry a gradient in training mode alone.

        Raises:
            InputError: for an empty query or an empty batch.
        """
        return encoded_queries(self, texts)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        pool_factor: int = 1,
        pooling: Pooling = "hierarchical",
        protected_tokens: int = 1,
        progress: bool = False,
    ) -> PackedTokens:
        """Encode document texts in batches sorted by length; only the tokens that MaxSim scores are kept.

        Args:
            texts: the documents.
            batch_size: rows encoded together.
            pool_factor, pooling, protected_tokens: see :func:`rankgrad.modules.pool_tokens`; 1 = no pooling.
            progress: show a bar.

        Returns:
            Float32 embeddings ``[total_tokens, dim]``, with a gradient in training mode alone, and ``cu_seqlens``;
            documents in the order given.
        """
        tokens, options = self.texts.documents(texts), {"batch_size": batch_size, "progress": progress}
        packed = packed_documents(tokens, self._kept, dim=self.dim, model=self, **options)
        return pool_tokens(packed, factor=pool_factor, method=pooling, protected=protected_tokens)

    def _kept(self, tokens: TextTokens) -> tuple[Tensor, Tensor]:
        """Embeddings of tokenized documents, and which of them an index keeps."""
        embeddings = self.embed_documents(tokens)
        return embeddings, self._pruned(embeddings, tokens.scored)

    def _pruned(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        return mask if self.pruner is None else self.pruner.kept(embeddings, mask)
