"""ColBERT: queries and documents read apart, compared token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import check_texts
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.collate import LateInteractionFeatures, TextTokens
from rankgrad.models import _folder, colbert_layout
from rankgrad.models._batches import sorted_batches
from rankgrad.modules.projection import Projection
from rankgrad.modules.text_encoder import TextEncoder
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
        rules: lengths, prefixes, query expansion and skip list.
        dim: width of the token embeddings; None keeps the encoder's own, without a projection.

    Shape:
        - features: from :class:`rankgrad.data.ListCollate`
        - returns: float32 scores ``[queries, candidates]``, or, with in-batch negatives,
          ``[queries, documents of the batch]``

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
    ) -> None:
        super().__init__()
        rules = rules or LateInteractionRules()
        new = [text for text in (rules.query_prefix, rules.document_prefix) if text]
        if tokenizer.add_tokens([text for text in new if text not in tokenizer.get_vocab()], special_tokens=True):
            backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)  # type: ignore[operator]
        self.text_tokenizer = tokenizer
        self.rules = rules
        self.tokenizer = LateInteractionTokenizer(
            tokenizer.backend_tokenizer,
            rules,
            mask_id=_folder.token_id(tokenizer, "mask", "eos", "pad"),
            pad_id=_folder.token_id(tokenizer, "pad", "eos"),
        )
        self.encoder = TextEncoder(backbone)
        self.projection = Projection(self.encoder.hidden_size, dim)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = _folder.MINILM,
        *,
        rules: LateInteractionRules | None = None,
        dim: int | None = 128,
        trust_remote_code: bool = False,
    ) -> ColBERT:
        """Load a saved ColBERT, or start one from any encoder.

        Args:
            name: a folder, a hub id, or ``"minilm"`` (the packaged all-MiniLM-L6-v2).
            rules: None takes the folder's own, else the class's defaults.
            dim: width of a new projection; a saved model's own projection is loaded whatever is said here.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no model, are truncated, or belong to another model.
        """
        source = _folder.resolve(name)
        saved = colbert_layout.read(source)
        backbone = _folder.load_backbone(source, trust_remote_code=trust_remote_code)
        tokenizer = _folder.load_tokenizer(source, trust_remote_code=trust_remote_code)
        if saved is None:
            return cls(backbone, tokenizer, rules=rules, dim=dim).eval()
        width = None if saved.projection is None else saved.projection.shape[0]
        model = cls(backbone, tokenizer, rules=rules or saved.rules, dim=width)
        if saved.projection is not None:
            _folder.load_state(model.projection, {"linear.weight": saved.projection}, saved.path)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a complete folder in the layout that PyLate and sentence-transformers load; all of it or nothing."""
        check_replaceable(folder, _folder.CONFIG)
        with atomic_folder(folder) as temporary:
            _folder.save_backbone(self.backbone, temporary)
            _folder.save_tokenizer(self.text_tokenizer, temporary)
            linear = self.projection.linear
            weight = linear.weight if isinstance(linear, nn.Linear) else None
            colbert_layout.write(temporary, self.rules, weight, self.encoder.hidden_size)

    @torch.no_grad()
    def fit_projection(self, texts: Sequence[str]) -> ColBERT:
        """Start the projection from the principal axes of these documents' token states, instead of at random.

        A few hundred documents are enough; training then begins near the encoder's own similarities.

        Raises:
            InputError: for an empty document or no documents.
        """
        check_texts(texts, "document")
        states = []
        for _, batch in sorted_batches(self.tokenizer.documents(texts), 32, self.device):
            hidden = self.encoder(batch.input_ids, batch.attention_mask, torch.zeros_like(batch.input_ids))
            states.append(hidden[batch.scored])
        self.projection.fit(torch.cat(states))
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

    def forward(self, features: LateInteractionFeatures) -> Tensor:
        """Score the lists of a batch."""
        queries, query_mask = self.encode(features.queries), features.queries.scored
        columns = [maxsim(queries, self.encode(group), query_mask, group.scored) for group in features.documents]
        scores = torch.cat(columns, dim=1)
        return scores if features.slots is None else scores.gather(1, features.slots)

    def score(self, queries: Sequence[str], documents: PackedTokens) -> Tensor:
        """MaxSim of every query with every encoded document: float32 ``[queries, documents]``.

        Raises:
            InputError: for an empty query or an empty batch.
        """
        embeddings, mask = self.encode_queries(queries)
        return maxsim(embeddings, documents.embeddings, mask, document_cu_seqlens=documents.cu_seqlens)

    def encode_queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode query texts: embeddings float32 ``[queries, tokens, dim]`` and mask bool ``[queries, tokens]``.

        Raises:
            InputError: for an empty query or an empty batch.
        """
        check_texts(texts, "query")
        tokens = TextTokens(*(torch.from_numpy(field).to(self.device) for field in self.tokenizer.queries(texts)))
        return self.encode(tokens), tokens.scored

    def encode_documents(self, texts: Sequence[str], *, batch_size: int = 32, progress: bool = False) -> PackedTokens:
        """Encode document texts in batches sorted by length; only the tokens that MaxSim scores are kept.

        Returns:
            Float32 embeddings ``[total_tokens, dim]`` and ``cu_seqlens``, documents in the order given.
        """
        tokens = self.tokenizer.documents(texts)
        batches = sorted_batches(tokens, batch_size, self.device)
        if progress:
            from rich.progress import track

            total = -(-len(texts) // batch_size)
            batches = track(batches, description="encoding documents", total=total, transient=True)
        rows: list[Tensor | None] = [None] * len(texts)
        for positions, batch in batches:
            embeddings = self.encode(batch)
            for row, position in enumerate(positions):
                rows[position] = embeddings[row][batch.scored[row]]
        done = cast(list[Tensor], rows)
        lengths = torch.tensor([0, *(len(row) for row in done)], dtype=torch.int64)
        packed = torch.cat(done) if done else torch.zeros(0, self.dim, device=self.device)
        return PackedTokens(packed, lengths.cumsum(0).to(torch.int32).to(self.device))
