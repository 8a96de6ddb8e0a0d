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
from rankgrad.models import _folder, cross_encoder_layout
from rankgrad.models._equal_calls import call_each
from rankgrad.models._lengths import PairCutReport, pair_lengths, positions
from rankgrad.models._pair_forward import layer_scores, padded_scores
from rankgrad.models._pair_options import PairOptions, check_options
from rankgrad.models._pair_score import score_lists, score_texts
from rankgrad.models._vocabulary import check_vocabulary
from rankgrad.modules.cross_attention import CrossAttentionBias
from rankgrad.modules.score_head import FirstHead, InteractionHead, MeanHead
from rankgrad.modules.text_encoder import TextEncoder
from rankgrad.tokens import PairTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Head = Literal["cls", "mean", "interaction"]
Padding = Literal["auto", "packed", "grouped"]
PairLayout = Literal["rankgrad", "sentence-transformers"]


class CrossEncoder(nn.Module):
    """Score (query, document) pairs with an encoder that reads both at once.

    The head decides where the score comes from. ``cls`` is the usual sequence classifier, stored in the Hugging Face
    layout that sentence-transformers and others read. ``mean`` and ``interaction`` start from the encoder's own
    similarity and learn from there: with few labels or little time they are far ahead of a fresh ``cls`` head. They
    read the two texts almost apart at first, each with its own positions, and learn to look across.

    Args:
        backbone: an ``AutoModel`` encoder, or when ``head="cls"`` a one-label ``AutoModelForSequenceClassification`` or
            :class:`rankgrad.modules.PooledClassifier`.
        tokenizer: its fast tokenizer.
        head: where the score comes from.
        max_length: tokens of a pair; the document is cut to fit. Lowered to what the encoder can read.
        query_length: tokens of a query.
        query_prompt: text put before each query; its tokens do not count in ``query_length``.
        cross_attention_bias: where ``mean`` and ``interaction`` begin to look from one text to the other, see
            :class:`rankgrad.modules.cross_attention.CrossAttentionBias`; learned from there.
        padding: ``packed`` puts the pairs of a batch end to end, without padding; ``grouped`` pads batches of like
            length. The scores are the same. ``auto`` packs on a CPU, where it is the faster one, and groups elsewhere,
            and for encoders that cannot be packed (DeBERTa).
        listwise: let each candidate of a query see the others: in every layer its tokens also attend to the first
            token, ``[CLS]``, of the query's other candidates. A score then depends on the list, not on its order.
        exits: numbers of layers behind which a head of its own scores too; see ``exit_layer`` of :meth:`score`. In
            training the model gives the scores of all of them, see :class:`rankgrad.losses.EarlyExitLoss`.
        compress_layer: the number of layers behind which documents are made shorter; None = never.
        compress_ratio: words that become one there, weighted by the attention that ``[CLS]`` gives them.

    Shape:
        - features: from :class:`rankgrad.data.ListCollate`
        - returns: float32 scores ``[queries, candidates]``, in training with exits
          ``[exits + 1, queries, candidates]``, the last layer's last; what stands where the batch's mask is False means
          nothing

    Raises:
        InputError: for an unknown head, or options that this encoder cannot have.

    Reference:
        Listwise: Schlatt et al., "Set-Encoder: Permutation-Invariant Inter-Passage Attention for Listwise Passage
        Re-Ranking with Cross-Encoders", ECIR 2025.
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
        query_prompt: str = "",
        cross_attention_bias: float = -3.0,
        padding: Padding = "auto",
        listwise: bool = False,
        exits: Sequence[int] = (),
        compress_layer: int | None = None,
        compress_ratio: int = 2,
    ) -> None:
        super().__init__()
        heads = {"cls": None, "mean": MeanHead, "interaction": InteractionHead}
        if head not in heads:
            raise InputError(f"head={head!r} is unknown: choose one of {', '.join(heads)}")
        self.head_name = head
        self.text_tokenizer = tokenizer
        check_vocabulary(tokenizer, backbone)
        self.encoder = TextEncoder(backbone)
        self.tokenizer = PairTokenizer(
            tokenizer.backend_tokenizer,
            **pair_lengths(max_length, query_length, positions(self.encoder)),
            pad_id=_folder.token_id(tokenizer, "pad"),
            query_prompt=query_prompt,
        )
        self.texts = PairCutReport(self.tokenizer, max_length)
        # A tokenizer that makes no segments was never trained with any, whatever the encoder could read.
        self.encoder.takes_segments &= "token_type_ids" in tokenizer.model_input_names
        kind = heads[head]
        self.head = None if kind is None else kind(self.encoder.hidden_size)
        self.across = None if kind is None else CrossAttentionBias(start=cross_attention_bias)
        self.register_buffer("special_ids", torch.tensor(sorted(set(tokenizer.all_special_ids))), persistent=False)
        self.padding: Padding = padding
        self.options = PairOptions(listwise, tuple(exits), compress_layer, compress_ratio)
        check_options(self.encoder, self.options, padding=padding, head=head)
        self.exit_heads = nn.ModuleDict({str(layer): (kind or FirstHead)(self.encoder.hidden_size) for layer in exits})

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = _folder.MINILM,
        *,
        head: Head | None = None,
        max_length: int | None = None,
        query_length: int | None = None,
        query_prompt: str | None = None,
        cross_attention_bias: float = -3.0,
        padding: Padding = "auto",
        listwise: bool | None = None,
        exits: Sequence[int] | None = None,
        compress_layer: int | None = None,
        compress_ratio: int | None = None,
        trust_remote_code: bool = False,
    ) -> CrossEncoder:
        """Load a saved cross-encoder, or start one from any encoder.

        Args:
            name: a folder, a hub id, or ``"minilm"`` (the packaged all-MiniLM-L6-v2).
            head: as in the class; None takes what the folder holds: its own setting, ``cls`` for a sequence classifier,
                else ``interaction``.
            max_length, query_length: None takes the folder's setting, else 256 and 64.
            query_prompt: None takes the folder's: the default prompt of a sentence-transformers model.
            cross_attention_bias: as in the class, for a new head; a saved one has its own.
            padding: as in the class.
            listwise, exits, compress_layer, compress_ratio: None takes the folder's setting, else the class's default.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no model, are truncated, or belong to another model.
        """
        source = _folder.resolve(name)
        settings = cross_encoder_layout.read(source)
        found, backbone, tokenizer = cross_encoder_layout.load(
            source, settings, head, trust_remote_code=trust_remote_code
        )
        head = cast(Head, found)
        model = cls(
            backbone,
            tokenizer,
            head=head,
            max_length=settings.get("max_length", 256) if max_length is None else max_length,
            query_length=settings.get("query_length", 64) if query_length is None else query_length,
            query_prompt=settings.get("query_prompt", "") if query_prompt is None else query_prompt,
            cross_attention_bias=cross_attention_bias,
            padding=padding,
            listwise=settings.get("listwise", False) if listwise is None else listwise,
            exits=settings.get("exits", ()) if exits is None else exits,
            compress_layer=settings.get("compress_layer") if compress_layer is None else compress_layer,
            compress_ratio=settings.get("compress_ratio", 2) if compress_ratio is None else compress_ratio,
        )
        cross_encoder_layout.load_own(model, source, settings)
        return model.eval()

    def save_pretrained(self, folder: str | Path, *, layout: PairLayout = "rankgrad") -> None:
        """Write a complete folder: weights (safetensors), configuration, tokenizer, settings; all of it or nothing.

        Args:
            layout: ``rankgrad`` holds every model, and with ``head="cls"`` is read by sentence-transformers too;
                ``sentence-transformers`` refuses what that library would leave out.

        Raises:
            InputError: for a model that has no place in the layout.
        """
        cross_encoder_layout.check_layout(self.options.settings(), head=self.head_name, layout=layout)
        check_replaceable(folder, _folder.CONFIG)
        with atomic_folder(folder) as temporary:
            cross_encoder_layout.write(temporary, self)

    @property
    def backbone(self) -> nn.Module:
        """The transformers model inside."""
        return self.encoder.backbone

    @property
    def own(self) -> nn.ModuleDict:
        """What the model adds to the encoder (or classifier)."""
        parts = {"head": self.head, "across": self.across, "exits": self.exit_heads if self.options.exits else None}
        return nn.ModuleDict({name: part for name, part in parts.items() if part is not None})

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def listwise(self) -> bool:
        """Whether a score depends on the query's other candidates."""
        return self.options.listwise

    @property
    def packs(self) -> bool:
        """Whether batches are packed, as ``padding`` and the options say."""
        if self.padding != "auto":
            return self.padding == "packed"
        if self.options.packed_only:
            return True
        # A compiled backbone, or one that FSDP splits over processes, must be called itself; packing calls its parts.
        whole = self.backbone._compiled_call_impl is None and not hasattr(self.backbone, "reshard")
        return self.device.type == "cpu" and self.encoder.packs and whole

    def logits(self, tokens: TextTokens, *, exit_layer: int | None = None) -> Tensor:
        """Score each row of a padded batch of tokenized pairs: float32 ``[rows]``.

        Raises:
            InputError: for a listwise model, which must know the lists, or an ``exit_layer`` without a head.
        """
        if self.options.listwise:
            raise InputError("listwise=True: rows alone say nothing of their lists; call the model, or score")
        return layer_scores(self, tokens, (self._exit(exit_layer),))[0]

    def forward_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """The graph that is exported: padded pairs in, float32 logits ``[rows, 1]`` out.

        Raises:
            InputError: for a listwise or compressing model, whose graph is in :mod:`rankgrad.export.pair_graph`.
        """
        if self.options.packed_only:
            raise InputError("listwise, compress_layer: packed batches only; rankgrad.export makes another graph of it")
        return padded_scores(self, input_ids, attention_mask, token_type_ids, (self.encoder.depth,))[0].unsqueeze(-1)

    def forward(self, features: PairFeatures) -> Tensor:
        """Score the lists of a batch."""
        layers = (*self.options.exits, self.encoder.depth) if self.training else (self.encoder.depth,)
        if self.options.listwise:
            scores = score_lists(self, features, layers)
        else:
            found = call_each(self, lambda group: layer_scores(self, group, layers), features.groups)
            scores = torch.cat(found, dim=1)[:, features.slots]
        return scores if len(layers) > 1 else scores[0]

    def score(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        *,
        batch_size: int | None = None,
        token_budget: int | None = None,
        exit_layer: int | None = None,
    ) -> Tensor:
        """Score pair i = (``queries[i]``, ``documents[i]``), in batches sorted by length.

        A listwise model takes all pairs with the same query text for one list, which no batch splits.

        Args:
            batch_size: pairs of a batch; without a ``token_budget`` None is 32, or, packed on a CPU, any number.
            token_budget: tokens of a batch, padding included; None = any number, or, packed on a CPU without a
                ``batch_size``, 2048: more do not fit its caches.
            exit_layer: score behind so many layers, with the head that ``exits`` put there; later ones are not run.

        Returns:
            Float32 ``[pairs]``, in the order given.

        Raises:
            InputError: for an empty query, no pairs, lists of different lengths, a size below 1, or an ``exit_layer``
                without a head.
        """
        check_texts(queries, "query")
        check_texts(documents, "document", allow_blank=True)
        if len(queries) != len(documents):
            raise InputError(f"queries and documents pair up: got {len(queries)} and {len(documents)}")
        return score_texts(
            self, queries, documents, self._exit(exit_layer), batch_size=batch_size, token_budget=token_budget
        )

    def _exit(self, exit_layer: int | None) -> int:
        if exit_layer is None or exit_layer == self.encoder.depth:
            return self.encoder.depth
        if exit_layer not in self.options.exits:
            known = ", ".join(map(str, (*self.options.exits, self.encoder.depth)))
            raise InputError(f"exit_layer={exit_layer} has no head: choose one of {known}")
        return exit_layer
