"""The causal reranker: a decoder reads a prompt of query and document, and its next token is the score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad._modes import learns
from rankgrad.data.collate import PairFeatures, TextTokens
from rankgrad.models import _causal_backbone, _folder, _layer_heads, _low_rank, causal_reranker_layout
from rankgrad.models._batches import score_sorted, sorted_batches
from rankgrad.models._equal_calls import call_each
from rankgrad.models._headed import Dtype
from rankgrad.models._lengths import PairCutReport
from rankgrad.models._saved_modules import SavedModules
from rankgrad.models._vocabulary import check_vocabulary
from rankgrad.models.causal_reranker_lengths import prompt_lengths
from rankgrad.modules.pooling import pool_states
from rankgrad.prompts import BGE_LIGHTWEIGHT, QWEN3, PromptTemplate, PromptTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CausalHead = Literal["answer", "linear"]


class CausalReranker(nn.Module):
    """Score (query, document) pairs with a decoder, from the state of a prompt's last token.

    With ``head="answer"`` the score is the logit of the template's ``yes`` less that of its ``no`` (or that of ``yes``
    alone): of the vocabulary's logits only those are computed. With ``head="linear"`` a linear layer of one output
    gives it. Rows are padded on the right and read at their last real token, which sees no padding: the scores are
    those of rows padded on the left, and the padding's id does not matter, so a tokenizer without one will do.

    Args:
        backbone: an ``AutoModelForCausalLM``, or with ``head="linear"`` a one-label
            ``AutoModelForSequenceClassification`` whose head is called ``score``.
        tokenizer: its fast tokenizer.
        head: where the score comes from.
        template: the prompt; the default is that of Qwen3-Reranker.
        max_length: tokens of a prompt; the document is cut to fit. Lowered to what the decoder can read.
        query_length: tokens of a query.
        layers: keep so many of the first layers only; None = all. Where the folder has heads behind its layers
            (bge-reranker-v2.5-gemma2-lightweight), the score is that of the last one kept.
        lora_rank: freeze the decoder and train updates of such a rank beside its linear layers; None = train it all.
        lora_alpha: the updates count ``lora_alpha / lora_rank``; None = twice the rank.
        lora_dropout: of the updates' input.
        lora_targets: last names of the layers that get one (``q_proj``, ``v_proj``); none = all linear layers.

    Shape:
        - features: from :class:`rankgrad.data.ListCollate`
        - returns: float32 scores ``[queries, candidates]``; what stands where the batch's mask is False means nothing

    Raises:
        InputError: for an unknown head, an answer that is not one token, a prompt without room, or missing layers.
        MissingExtraError: for a ``lora_rank`` without peft.

    Reference:
        Nogueira, Jiang, Pradeep, Lin, "Document Ranking with a Pretrained Sequence-to-Sequence Model", EMNLP Findings
        2020. Zhang et al., "Qwen3 Embedding: Advancing Text Embedding and Reranking Through Foundation Models", 2025.
        Updates: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: PreTrainedTokenizerFast,
        *,
        head: CausalHead = "answer",
        template: PromptTemplate = QWEN3,
        max_length: int = 512,
        query_length: int = 64,
        layers: int | None = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        lora_dropout: float = 0.0,
        lora_targets: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if head not in ("answer", "linear"):
            raise InputError(f"head={head!r} is unknown: choose answer or linear")
        if head == "linear" and not isinstance(getattr(backbone, "score", None), nn.Linear):
            raise InputError(f"head='linear': {type(backbone).__name__} has no linear layer called score")
        if lora_alpha is not None and lora_rank is None:
            raise InputError(f"lora_alpha={lora_alpha} has no updates to count without lora_rank: give one, or neither")
        check_vocabulary(tokenizer, backbone)
        pad_id = _folder.token_id(tokenizer, "pad", "eos")
        self.head_name: CausalHead = head
        self.text_tokenizer = tokenizer
        lengths = prompt_lengths(backbone, max_length, query_length)
        self.tokenizer = PromptTokenizer(tokenizer.backend_tokenizer, template, **lengths, pad_id=pad_id)
        self.texts = PairCutReport(self.tokenizer, max_length, "decoder")
        self.answers = self.tokenizer.answers if head == "answer" else None
        if getattr(backbone.config, "pad_token_id", None) is None:
            # Other libraries look for the last token by it.
            backbone.config.pad_token_id = pad_id  # type: ignore[union-attr]
        if layers is not None:
            _causal_backbone.keep_layers(backbone, layers)
        self.encoder = backbone
        # The modules of sentence-transformers that it was; None = it came from no such folder.
        self.origin: SavedModules | None = None
        self.lora: Any = None
        if lora_rank is not None:
            self.lora = _low_rank.adapt(
                backbone,
                lora_targets or _low_rank.linear_names(_causal_backbone.decoder_of(backbone)),
                rank=lora_rank,
                alpha=2 * lora_rank if lora_alpha is None else lora_alpha,
                dropout=lora_dropout,
                task="CAUSAL_LM" if head == "answer" else "SEQ_CLS",
            )
        self._free_head()

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        adapter: str | Path | None = None,
        head: CausalHead | None = None,
        template: PromptTemplate | None = None,
        max_length: int | None = None,
        query_length: int | None = None,
        layers: int | None = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        lora_dropout: float = 0.0,
        lora_targets: Sequence[str] = (),
        dtype: Dtype = "float32",
        trust_remote_code: bool = False,
    ) -> CausalReranker:
        """Load a saved reranker, or start one from any decoder.

        Args:
            name: a folder or a hub id (``Qwen/Qwen3-Reranker-0.6B``), those of sentence-transformers'
                ``CrossEncoder`` among them (a Transformer and a LogitScore).
            adapter: a folder of :meth:`save_adapter` or PEFT, made for this decoder with this number of layers.
            head: as in the class; None takes the folder's: ``linear`` for a sequence classifier, else ``answer``.
            template, max_length, query_length: None takes the setting of the adapter's folder, or of the decoder's,
                else the class's default. A chat template is read as the prompt that it makes.
            layers, lora_rank, lora_alpha, lora_dropout, lora_targets: as in the class.
            dtype: of the weights.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no decoder, are truncated, or belong to another model.
        """
        if adapter is not None and lora_rank is not None:
            raise InputError(f"lora_rank={lora_rank}: the adapter has a rank of its own; leave one of them out")
        source = _folder.resolve(name)
        tokenizer = _folder.load_tokenizer(source, trust_remote_code=trust_remote_code)
        own = {} if adapter is None else causal_reranker_layout.own_settings(str(adapter))
        known = template is not None or "template" in own
        saved = causal_reranker_layout.read(source, tokenizer, max_length=max_length, with_template=not known)
        settings = saved.settings | own
        layered = _layer_heads.has_layer_heads(source)
        if head is None:
            linear = layered or _folder.is_classifier(source)
            head = cast(CausalHead, settings.get("head") or ("linear" if linear else "answer"))
        if layered and head == "answer":
            raise InputError(f"head='answer': {name} scores by heads behind its layers; leave it out")
        if template is None:
            usual = BGE_LIGHTWEIGHT if layered else QWEN3
            template = PromptTemplate(**settings["template"]) if "template" in settings else usual
        if layered:
            backbone = _layer_heads.load(source, layers=layers, dtype=dtype)
        else:
            backbone = _causal_backbone.load(
                source, classifier=head == "linear", dtype=dtype, trust_remote_code=trust_remote_code
            )
        model = cls(
            backbone,
            tokenizer,
            head=head,
            template=template,
            max_length=settings.get("max_length", 512) if max_length is None else max_length,
            query_length=settings.get("query_length", 64) if query_length is None else query_length,
            layers=layers,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            lora_dropout=lora_dropout,
            lora_targets=lora_targets,
        )
        model.origin = saved.origin
        if adapter is not None:
            model.lora = _low_rank.load_adapter(backbone, str(adapter))
            model._free_head()
        return model.eval()

    def save_pretrained(self, folder: str | Path, *, layout: causal_reranker_layout.CausalLayout | None = None) -> None:
        """Write a complete folder, low-rank updates merged into the weights; all of it or nothing.

        Args:
            layout: ``sentence-transformers`` adds what its ``CrossEncoder`` reads: modules, and a chat template that
                makes the prompt; None = that one for a model that came so, else ``rankgrad``.

        Raises:
            InputError: for an unknown layout.
        """
        if layout not in (None, "rankgrad", "sentence-transformers"):
            raise InputError(f'layout={layout!r} is unknown: choose "rankgrad" or "sentence-transformers"')
        check_replaceable(folder, _folder.CONFIG)
        with atomic_folder(folder) as temporary:
            state = None if self.lora is None else _low_rank.merged_state(self.backbone)
            with _folder.quiet():
                self.backbone.save_pretrained(temporary, state_dict=state)  # type: ignore[operator]
            self._write_rest(temporary)
            if layout == "sentence-transformers" or (layout is None and self.origin is not None):
                tokenizers = (self.tokenizer, self.text_tokenizer)
                causal_reranker_layout.write(temporary, *tokenizers, answers=self.answers, origin=self.origin)

    def save_adapter(self, folder: str | Path) -> None:
        """Write the low-rank updates alone, a linear head with them, in PEFT's layout; all of it or nothing.

        Raises:
            InputError: for a model without updates.
        """
        if self.lora is None:
            raise InputError("the model has no low-rank updates: give it a lora_rank, or call save_pretrained")
        check_replaceable(folder, _low_rank.CONFIG)
        with atomic_folder(folder) as temporary:
            beside = ["score"] if self.head_name == "linear" else []
            _low_rank.save_adapter(self.backbone, self.lora, temporary, beside=beside)
            self._write_rest(temporary)

    @property
    def backbone(self) -> nn.Module:
        """The transformers model inside."""
        return self.encoder

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def logits(self, tokens: TextTokens) -> Tensor:
        """Score each row of a padded batch of tokenized pairs: float32 ``[rows]``.

        Raises:
            InputError: for a linear head that is compiled or split over processes, with a tokenizer without padding.
        """
        if _causal_backbone.must_be_called(self.backbone):
            if self.answers is None and self.text_tokenizer.pad_token_id is None:
                raise InputError("head='linear', compiled or split, finds the last token by padding: add a pad token")
            return _causal_backbone.whole_scores(self.backbone, tokens, self.answers)
        decoder = _causal_backbone.decoder_of(self.backbone)
        mask = tokens.attention_mask
        states = decoder(input_ids=tokens.input_ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = pool_states(states, mask, method="last")
        if self.answers is not None:
            return _causal_backbone.answer_scores(self.backbone, last, self.answers)
        return _layer_heads.capped(self.backbone, _causal_backbone.linear_scores(self.backbone, last))

    def forward(self, features: PairFeatures) -> Tensor:
        """Score the lists of a batch."""
        return torch.cat(call_each(self, self.logits, features.groups))[features.slots]

    def score(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        *,
        batch_size: int = 32,
        token_budget: int | None = None,
    ) -> Tensor:
        """Score pair i = (``queries[i]``, ``documents[i]``), in batches sorted by length.

        Args:
            batch_size: pairs of a batch.
            token_budget: tokens of a batch, padding included; None = any number.

        Returns:
            Float32 ``[pairs]``, in the order given; with a gradient in training mode alone.

        Raises:
            TypeError: for a bare string, or an item that is no string.
            InputError: for an empty query, no pairs, lists of different lengths, or a size below 1.
        """
        check_texts(queries, "query")
        check_texts(documents, "document", allow_blank=True)
        batches = sorted_batches(self.texts(queries, documents), batch_size, self.device, token_budget=token_budget)
        with torch.set_grad_enabled(learns(self)):
            return score_sorted(batches, lambda _, batch: self.logits(batch))

    def _free_head(self) -> None:
        """A linear head learns whole, whatever is frozen."""
        if self.head_name == "linear":
            cast(nn.Linear, self.backbone.score).requires_grad_(True)

    def _write_rest(self, folder: Path) -> None:
        _folder.save_tokenizer(self.text_tokenizer, folder)
        settings = {"kind": causal_reranker_layout.KIND, "head": self.head_name} | self.tokenizer.settings()
        _folder.write_json(folder / _folder.SETTINGS, settings)
