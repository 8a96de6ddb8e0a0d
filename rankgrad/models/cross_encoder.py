"""The cross-encoder: query and document read together, one score out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.collate import PairFeatures, TextTokens
from rankgrad.models import _folder
from rankgrad.models._batches import score_sorted
from rankgrad.modules.cross_attention import CrossAttentionBias, restarted_positions
from rankgrad.modules.score_head import InteractionHead, MeanHead
from rankgrad.modules.text_encoder import TextEncoder
from rankgrad.tokens import PairTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Head = Literal["cls", "mean", "interaction"]
_SETTINGS = "rankgrad_model.json"


class CrossEncoder(nn.Module):
    """Score (query, document) pairs with an encoder that reads both at once.

    The head decides where the score comes from. ``cls`` is the usual sequence classifier, stored in the Hugging Face
    layout that sentence-transformers and others read. ``mean`` and ``interaction`` start from the encoder's own
    similarity and learn from there: with few labels or little time they are far ahead of a fresh ``cls`` head. They
    read the two texts almost apart at first, each with its own positions, and learn to look across.

    Args:
        backbone: an ``AutoModel`` encoder, or a one-label ``AutoModelForSequenceClassification`` when ``head="cls"``.
        tokenizer: its fast tokenizer.
        head: where the score comes from.
        max_length: tokens of a pair; the document is cut to fit.
        query_length: tokens of a query.
        cross_attention_bias: where ``mean`` and ``interaction`` begin to look from one text to the other, see
            :class:`rankgrad.modules.cross_attention.CrossAttentionBias`; learned from there.

    Shape:
        - features: from :class:`rankgrad.data.ListCollate`
        - returns: float32 scores ``[queries, candidates]``; what stands where the batch's mask is False means nothing

    Raises:
        InputError: for an unknown head.
    """

    special_ids: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: PreTrainedTokenizerFast,
        *,
        head: Head = "interaction",
        max_length: int = 256,
        query_length: int = 64,
        cross_attention_bias: float = -3.0,
    ) -> None:
        super().__init__()
        heads = {"cls": None, "mean": MeanHead, "interaction": InteractionHead}
        if head not in heads:
            raise InputError(f"head={head!r} is unknown: choose one of {', '.join(heads)}")
        self.head_name = head
        self.text_tokenizer = tokenizer
        self.tokenizer = PairTokenizer(
            tokenizer.backend_tokenizer,
            max_length=max_length,
            query_length=query_length,
            pad_id=_folder.token_id(tokenizer, "pad"),
        )
        self.encoder = TextEncoder(backbone)
        kind = heads[head]
        self.head = None if kind is None else kind(self.encoder.hidden_size)
        self.across = None if kind is None else CrossAttentionBias(start=cross_attention_bias)
        self.register_buffer("special_ids", torch.tensor(sorted(set(tokenizer.all_special_ids))), persistent=False)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = _folder.MINILM,
        *,
        head: Head | None = None,
        max_length: int | None = None,
        query_length: int | None = None,
        cross_attention_bias: float = -3.0,
        trust_remote_code: bool = False,
    ) -> CrossEncoder:
        """Load a saved cross-encoder, or start one from any encoder.

        Args:
            name: a folder, a hub id, or ``"minilm"`` (the packaged all-MiniLM-L6-v2).
            head: as in the class; None takes what the folder holds: its own setting, ``cls`` for a sequence classifier,
                else ``interaction``.
            max_length, query_length: None takes the folder's setting, else 256 and 64.
            cross_attention_bias: as in the class, for a new head; a saved one has its own.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no model, are truncated, or belong to another model.
        """
        source = _folder.resolve(name)
        settings = _folder.read_json(_folder.fetch(source, _SETTINGS))
        if settings and settings.get("kind") != "cross_encoder":
            raise InputError(f"{source} holds a {settings.get('kind')}, no cross-encoder: load it with its own class")
        if head is None:
            head = cast(Head, settings.get("head") or ("cls" if _is_classifier(source) else "interaction"))
        backbone = _folder.load_backbone(source, classifier=head == "cls", trust_remote_code=trust_remote_code)
        model = cls(
            backbone,
            _folder.load_tokenizer(source, trust_remote_code=trust_remote_code),
            head=head,
            max_length=max_length or settings.get("max_length", 256),
            query_length=query_length or settings.get("query_length", 64),
            cross_attention_bias=cross_attention_bias,
        )
        if model.head is not None and settings.get("head") == head:
            path = _folder.fetch(source, "head.safetensors")
            _folder.load_state(model.own, _folder.load_tensors(path), path)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a complete folder: weights (safetensors), configuration, tokenizer, settings; all of it or nothing."""
        check_replaceable(folder, _folder.CONFIG)
        with atomic_folder(folder) as temporary:
            _folder.save_backbone(self.backbone, temporary)
            _folder.save_tokenizer(self.text_tokenizer, temporary)
            if self.head is not None:
                _folder.save_tensors(self.own.state_dict(), temporary / "head.safetensors")
            settings = {"kind": "cross_encoder", "head": self.head_name} | self.tokenizer.settings()
            _folder.write_json(temporary / _SETTINGS, settings)

    @property
    def backbone(self) -> nn.Module:
        """The transformers model inside."""
        return self.encoder.backbone

    @property
    def own(self) -> nn.ModuleDict:
        """What a ``mean`` or ``interaction`` model adds to the encoder."""
        return nn.ModuleDict({"head": cast(nn.Module, self.head), "across": cast(nn.Module, self.across)})

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def logits(self, tokens: TextTokens) -> Tensor:
        """Score each row of a padded batch of tokenized pairs: float32 ``[rows]``."""
        return self.forward_tokens(tokens.input_ids, tokens.attention_mask, tokens.token_type_ids).squeeze(-1)

    def forward_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """The graph that is exported: padded pairs in, float32 logits ``[rows, 1]`` out."""
        if self.head is None or self.across is None:
            inputs = {"token_type_ids": token_type_ids} if self.encoder.takes_segments else {}
            return self.backbone(input_ids=input_ids, attention_mask=attention_mask, **inputs).logits.float()
        document_side = token_type_ids.bool()
        mask = self.across(attention_mask, document_side)
        hidden = self.encoder(input_ids, mask, torch.zeros_like(token_type_ids), restarted_positions(document_side))
        special = torch.eq(input_ids.unsqueeze(-1), self.special_ids).any(-1)
        words = attention_mask.bool() & ~special
        return self.head(hidden, words & ~document_side, words & document_side).unsqueeze(-1)

    def forward(self, features: PairFeatures) -> Tensor:
        """Score the lists of a batch."""
        scores = torch.cat([self.logits(group) for group in features.groups])
        return scores[features.slots]

    def score(self, queries: Sequence[str], documents: Sequence[str], *, batch_size: int = 32) -> Tensor:
        """Score pair i = (``queries[i]``, ``documents[i]``), in batches sorted by length.

        Returns:
            Float32 ``[pairs]``, in the order given.

        Raises:
            InputError: for an empty query, no pairs, or lists of different lengths.
        """
        check_texts(queries, "query")
        if len(queries) != len(documents):
            raise InputError(f"queries and documents pair up: got {len(queries)} and {len(documents)}")
        return score_sorted(self.tokenizer(queries, documents), self.logits, batch_size, self.device)


def _is_classifier(source: str) -> bool:
    architectures = _folder.read_json(_folder.fetch(source, _folder.CONFIG)).get("architectures") or []
    return any(str(name).endswith("ForSequenceClassification") for name in architectures)
