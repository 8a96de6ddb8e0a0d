"""The sparse encoder (SPLADE): a weight for each word of the vocabulary, so that an inverted index can search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts, require
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.collate import LateInteractionFeatures, TextTokens
from rankgrad.models import _folder, sparse_encoder_layout
from rankgrad.models._batches import sorted_batches
from rankgrad.models._document_frequencies import document_frequencies
from rankgrad.models._headed import load_headed
from rankgrad.models._lengths import CutReport, positions_of, within
from rankgrad.models._products import products
from rankgrad.models._split_scores import split_scores
from rankgrad.models._vocabulary import check_vocabulary
from rankgrad.modules.query_weights import inverse_document_frequencies
from rankgrad.modules.sparse_rows import SparseRows, largest
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer, Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

QuerySide = Literal["encoder", "lookup"]


class SparseEncoder(nn.Module):
    """Encode texts into weights of the vocabulary's terms, ``w_v = max_t log(1 + relu(logit_tv))``.

    ``logit_tv`` is what a masked language model gives term v at token t. Scores are dot products. With
    ``queries="lookup"`` only documents are encoded: a query's terms are its own tokens, each with a weight from a
    table, which starts at 1, at inverse document frequencies (:meth:`fit_idf`) or is learned.

    Args:
        backbone: an ``AutoModelForMaskedLM``.
        tokenizer: its fast tokenizer.
        queries: how queries are encoded: by the ``encoder``, or by a ``lookup`` in the table.
        learn_weights: train the table.
        special_terms: give weights to special tokens ([CLS], [SEP]) too, as sentence-transformers does.
        log_twice: weights are ``log(1 + log(1 + relu))``, as OpenSearch's newer models have them.
        query_top_k, document_top_k: keep so many terms, those with the largest weights; not in training. None = all.
        query_prompt, document_prompt: text put before each query and document.
        query_length, document_length: tokens, special ones included, at most what the encoder can read; a None
            ``query_length`` is ``document_length``.

    Attributes:
        activations: pairs (queries ``[queries, terms]``, documents ``[documents, terms]``) of what was scored since a
            list was put here, see :class:`rankgrad.training.SparsityPenalty`; None = nobody asks for them.

    Shape:
        - features: from :class:`rankgrad.data.ListCollate`
        - returns: float32 scores ``[queries, candidates]``, or, with in-batch negatives, ``[queries, documents]``

    Raises:
        InputError: for an unknown way to encode queries, or a number of terms below 1.

    Reference:
        Formal, Lassance, Piwowarski, Clinchant, "SPLADE v2: Sparse Lexical and Expansion Model for Information
        Retrieval", 2021. Looked-up queries: Geng, Ru, Yang, "Towards Competitive Search Relevance For Inference-Free
        Learned Sparse Retrievers", 2024.
    """

    special_ids: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: PreTrainedTokenizerFast,
        *,
        queries: QuerySide = "encoder",
        learn_weights: bool = False,
        special_terms: bool = False,
        log_twice: bool = False,
        query_top_k: int | None = None,
        document_top_k: int | None = None,
        query_prompt: str = "",
        document_prompt: str = "",
        query_length: int | None = None,
        document_length: int = 256,
    ) -> None:
        super().__init__()
        if queries not in ("encoder", "lookup"):
            raise InputError(f"queries={queries!r} is unknown: choose encoder or lookup")
        for name, k in (("query_top_k", query_top_k), ("document_top_k", document_top_k)):
            if k is not None and k < 1:
                raise InputError(f"{name}={k}: keep at least 1 term, or None for all")
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
        self.encoder = backbone
        self.rules = within(rules, positions_of(backbone))
        self.tokenizer = LateInteractionTokenizer(
            tokenizer.backend_tokenizer, self.rules, mask_id=0, pad_id=_folder.token_id(tokenizer, "pad", "eos")
        )
        self.texts = CutReport(self.tokenizer, rules)
        self.queries: QuerySide = queries
        self.width = int(backbone.config.vocab_size)  # type: ignore[union-attr, arg-type]
        self.term_weights = nn.Parameter(torch.ones(self.width), learn_weights) if queries == "lookup" else None
        self.special_terms = special_terms
        self.log_twice = log_twice
        self.register_buffer("special_ids", torch.tensor(sorted(set(tokenizer.all_special_ids))), persistent=False)
        self.top_k = {"query": query_top_k, "document": document_top_k}
        self.activations: list[tuple[Tensor, Tensor]] | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        queries: QuerySide | None = None,
        learn_weights: bool = False,
        special_terms: bool | None = None,
        log_twice: bool | None = None,
        query_top_k: int | None = None,
        document_top_k: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        query_length: int | None = None,
        document_length: int | None = None,
        trust_remote_code: bool = False,
    ) -> SparseEncoder:
        """Load a model that we or sentence-transformers saved, or start one from any masked language model.

        Args:
            name: a folder or a hub id (``distilbert/distilbert-base-uncased``).
            learn_weights: as in the class; no folder holds it.
            queries, special_terms, log_twice, query_top_k, document_top_k, query_prompt, document_prompt, query_length,
                document_length: as in the class; None takes the folder's own, else the class's default.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no masked language model, are truncated, or hold modules that are not read.
        """
        source = _folder.resolve(name)
        saved = sparse_encoder_layout.read(source)
        given: dict[str, Any] = {
            "queries": queries,
            "special_terms": special_terms,
            "log_twice": log_twice,
            "query_top_k": query_top_k,
            "document_top_k": document_top_k,
            "query_prompt": query_prompt,
            "document_prompt": document_prompt,
            "query_length": query_length,
            "document_length": document_length,
        }
        options = saved | {option: value for option, value in given.items() if value is not None}
        auto = require("transformers", "text").AutoModelForMaskedLM
        remote = {"trust_remote_code": trust_remote_code}
        backbone = load_headed(source, auto, what="a masked language model", options=remote)
        tokenizer = _folder.load_tokenizer(source, **remote)
        model = cls(backbone, tokenizer, learn_weights=learn_weights, **options)
        if saved.get("queries") == "lookup" and model.term_weights is not None:
            model.term_weights.data.copy_(sparse_encoder_layout.read_weights(source, model.width))
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a complete folder, whole or not at all; sentence-transformers reads it unless queries are looked up."""
        check_replaceable(folder, _folder.CONFIG)
        with atomic_folder(folder) as temporary:
            _folder.save_backbone(self.backbone, temporary)
            _folder.save_tokenizer(self.text_tokenizer, temporary)
            options = {"queries": self.queries, "special_terms": self.special_terms, "log_twice": self.log_twice}
            options |= {f"{side}_top_k": k for side, k in self.top_k.items()}
            sparse_encoder_layout.write(temporary, self.rules, options, lookup=self.queries == "lookup")
            if self.term_weights is not None:
                _folder.save_tensors({"weight": self.term_weights.data}, temporary / sparse_encoder_layout.WEIGHTS)

    @torch.no_grad()
    def fit_idf(self, texts: Sequence[str]) -> SparseEncoder:
        """Set the table to ``log(1 + (N - n + 0.5) / (n + 0.5))`` for terms that n of these N documents hold.

        Raises:
            InputError: for a model without a table, or no documents.
        """
        check_texts(texts, "document", allow_blank=True)
        table = self._table()
        counts = document_frequencies(self.tokenizer, texts, self.width)
        table.copy_(inverse_document_frequencies(counts.double(), len(texts)))
        return self

    @torch.no_grad()
    def set_weights(self, weights: Mapping[str, float]) -> SparseEncoder:
        """Set the table to the weights of these words (of an ``idf.json``), and to 0 for others.

        Raises:
            InputError: for a model without a table, or a word that is no token.
        """
        table, places = self._table(), self.text_tokenizer.get_vocab()
        unknown = [word for word in weights if word not in places]
        if unknown:
            raise InputError(f"weights: {unknown[0]!r} is no token of this vocabulary ({len(unknown)} such)")
        table.zero_()[[places[word] for word in weights]] = torch.tensor(list(weights.values())).to(table)
        return self

    @property
    def backbone(self) -> nn.Module:
        """The transformers model inside."""
        return self.encoder

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def encode(self, tokens: TextTokens) -> Tensor:
        """Weights of a padded batch: float32 ``[rows, terms]``."""
        logits = self.encoder(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).logits
        # log(1 + relu) rises, so the largest weight is that of the largest logit.
        highest = logits.masked_fill(tokens.attention_mask.unsqueeze(-1) == 0, 0.0).amax(dim=1).float()
        weights = highest.relu().log1p()
        weights = weights.log1p() if self.log_twice else weights
        return weights if self.special_terms else weights.index_fill(-1, self.special_ids, 0.0)

    def embed_queries(self, tokens: TextTokens) -> Tensor:
        """Weights of a padded batch of tokenized queries."""
        if self.term_weights is None:
            return self._pruned(self.encode(tokens), "query")
        shape = (len(tokens.input_ids), self.width)
        held = torch.zeros(shape, dtype=torch.float32, device=self.device).scatter_reduce(
            1, tokens.input_ids, tokens.attention_mask.float(), "amax"
        )
        held[:, self.special_ids] = 0.0
        return self._pruned(held * self.term_weights, "query")

    def embed_documents(self, tokens: TextTokens) -> Tensor:
        """Weights of a padded batch of tokenized documents."""
        return self._pruned(self.encode(tokens), "document")

    def compare(self, queries: Tensor, query_mask: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Score every embedded query with the documents of every group of (weights, mask): the columns, in order."""
        documents = torch.cat([rows for rows, _ in groups])
        if self.activations is not None:
            self.activations.append((queries, documents))
        return products(queries, documents)

    def forward(self, features: LateInteractionFeatures) -> Tensor:
        """Score the lists of a batch."""
        return split_scores(self, features)

    def score(self, queries: Sequence[str], documents: SparseRows) -> Tensor:
        """Score every query with every encoded document: float32 ``[queries, documents]``.

        Raises:
            InputError: for an empty query or an empty batch.
        """
        return documents.dots(self.encode_queries(queries).dense(self.width))

    def encode_queries(self, texts: Sequence[str], *, batch_size: int = 32) -> SparseRows:
        """Terms and weights of query texts, without a gradient.

        Raises:
            InputError: for an empty query or an empty batch.
        """
        check_texts(texts, "query")
        return self._encoded(self.texts.queries(texts), self.embed_queries, batch_size)

    def encode_documents(self, texts: Sequence[str], *, batch_size: int = 32) -> SparseRows:
        """Terms and weights of document texts, without a gradient."""
        check_texts(texts, "document", allow_blank=True)
        return self._encoded(self.texts.documents(texts), self.embed_documents, batch_size)

    def terms(self, rows: SparseRows) -> list[dict[str, float]]:
        """The words of each row with their weights, the heaviest first."""
        found = []
        for indices, values in zip(*rows.split(), strict=True):
            order = values.argsort(descending=True, stable=True)
            words = self.text_tokenizer.convert_ids_to_tokens(indices[order].tolist())
            found.append(dict(zip(words, values[order].tolist(), strict=True)))
        return found

    @torch.no_grad()
    def _encoded(self, tokens: Tokens, embed: Callable[[TextTokens], Tensor], batch_size: int) -> SparseRows:
        # A batch is dense for a moment only: all texts at once would be as wide as the vocabulary.
        places, parts = [], []
        for rows, batch in sorted_batches(tokens, batch_size, self.device):
            places.append(torch.from_numpy(rows))
            parts.append(SparseRows.of(embed(batch)))
        return SparseRows.joined(parts, torch.cat(places).argsort())

    def _table(self) -> Tensor:
        if self.term_weights is None:
            raise InputError('queries="encoder" has no table of weights: choose queries="lookup"')
        return self.term_weights

    def _pruned(self, weights: Tensor, side: str) -> Tensor:
        return weights if self.training else largest(weights, self.top_k[side])
