"""Answers in words, from the documents that a search found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad._modes import frozen
from rankgrad.models import _causal_backbone, _folder
from rankgrad.models._headed import Dtype
from rankgrad.pipeline.answer_prompt import AnswerPrompt, AnswerTemplate, AnswerTokenizer
from rankgrad.pipeline.citations import Citation, find_citations
from rankgrad.rerank._splice import check_ranking, check_stage
from rankgrad.types import Queries, Ranking


class Answer(NamedTuple):
    """What a model wrote, and what it wrote it from.

    Args:
        text: the answer; empty where no document was found.
        citations: the documents that it names, in the order of the text; those it made up have id None.
        shown: row numbers of the documents in the prompt; ``[1]`` is the first.
    """

    text: str
    citations: tuple[Citation, ...]
    shown: tuple[int, ...]

    @property
    def cited(self) -> tuple[int, ...]:
        """The documents that the answer names, each once, without those it made up."""
        return tuple(dict.fromkeys(each.id for each in self.citations if each.id is not None))


class Generate(nn.Module):
    """Answer each query from the first documents of its ranking, with their numbers in brackets.

    The most probable token is taken at each step, so an answer depends on its prompt alone. What the documents say is
    given to the model as it stands: one that holds instructions may be obeyed.

    Args:
        model: a causal language model of transformers.
        tokenizer: its fast tokenizer.
        documents: the collection that the rankings' row numbers refer to.
        k: documents to show, fewer where the prompt has no room; empty ones are never shown.
        template: the text around them.
        max_length: tokens of a prompt, in which :class:`AnswerTokenizer` says how documents are cut; None = what the
            model's positions leave beside the answer, but 4,096 at most.
        max_new_tokens: tokens of an answer.
        batch_size: queries at once.

    Raises:
        InputError: for an empty collection, options out of range, or a prompt and answer beyond the model's positions.

    Reference:
        Lewis et al.: Retrieval-augmented generation for knowledge-intensive NLP tasks, NeurIPS 2020. Citations: Gao,
        Yen, Yu, Chen: Enabling large language models to generate text with citations, EMNLP 2023.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        documents: Sequence[str],
        *,
        k: int = 5,
        template: AnswerTemplate | None = None,
        max_length: int | None = None,
        max_new_tokens: int = 128,
        batch_size: int = 4,
    ) -> None:
        super().__init__()
        check_stage(documents, k)
        if max_new_tokens < 1 or batch_size < 1:
            raise InputError(f"max_new_tokens={max_new_tokens}, batch_size={batch_size}: both are at least 1")
        positions: float = getattr(getattr(model, "config", None), "max_position_embeddings", None) or float("inf")
        if max_length is None:
            max_length = int(min(4096, positions - max_new_tokens))
        if max_length + max_new_tokens > positions:
            raise InputError(
                f"max_length={max_length} and max_new_tokens={max_new_tokens} are more than the {positions} positions "
                "of the model: lower one of them"
            )
        self.model = model
        self.text_tokenizer = tokenizer
        self.tokenizer = AnswerTokenizer(
            tokenizer.backend_tokenizer, template or AnswerTemplate(), max_length=max_length
        )
        self.documents = tuple(documents)
        self.k, self.max_new_tokens, self.batch_size = k, max_new_tokens, batch_size
        self.pad_id = _folder.token_id(tokenizer, "pad", "eos")

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        documents: Sequence[str],
        *,
        k: int = 5,
        template: AnswerTemplate | None = None,
        max_length: int | None = None,
        max_new_tokens: int = 128,
        batch_size: int = 4,
        dtype: Dtype = "float32",
        trust_remote_code: bool = False,
    ) -> Generate:
        """Load a decoder and its tokenizer.

        Args:
            name: a folder or a hub id.
            documents, k, template, max_length, max_new_tokens, batch_size: as in the class.
            dtype: of the weights.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no decoder, or are truncated; or as in the class.
        """
        source = _folder.resolve(name)
        model = _causal_backbone.load(source, classifier=False, dtype=dtype, trust_remote_code=trust_remote_code)
        return cls(
            model,
            _folder.load_tokenizer(source, trust_remote_code=trust_remote_code),
            documents,
            k=k,
            template=template,
            max_length=max_length,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
        ).eval()

    def forward(self, queries: Queries, ranking: Ranking) -> list[Answer]:
        """Answer each query; one whose ranking holds no document gets an empty answer, and the model is not asked.

        Raises:
            InputError: for an empty query, or a ranking of other queries or of another collection.
        """
        check_ranking(queries, ranking, len(self.documents))
        shown = [self._shown(ids[mask].tolist()) for ids, mask in zip(ranking.ids, ranking.mask, strict=True)]
        prompts = [
            self.tokenizer(query, [self.documents[row] for row in rows])
            for query, rows in zip(queries, shown, strict=True)
        ]
        answers = [Answer("", (), ()) for _ in queries]
        # Prompts of like length go together: a short one is padded to the longest.
        asked = sorted((row for row, found in enumerate(shown) if found), key=lambda row: -len(prompts[row].ids))
        for start in range(0, len(asked), self.batch_size):
            batch = asked[start : start + self.batch_size]
            for row, text in zip(batch, self._written([prompts[row] for row in batch]), strict=True):
                rows = tuple(shown[row][: prompts[row].documents])
                answers[row] = Answer(text, find_citations(text, rows), rows)
        return answers

    def prompt(self, query: str, rows: Sequence[int]) -> str:
        """What the model reads for a query and these documents, as text."""
        ids = self.tokenizer(query, [self.documents[row] for row in self._shown(rows)]).ids
        return str(self.text_tokenizer.decode(ids))

    def _shown(self, rows: Sequence[int]) -> list[int]:
        """The first documents that are not empty."""
        return [row for row in rows if self.documents[row].strip()][: self.k]

    def _written(self, prompts: Sequence[AnswerPrompt]) -> list[str]:
        """What the model writes behind each prompt."""
        width = max(len(prompt.ids) for prompt in prompts)
        padding = [width - len(prompt.ids) for prompt in prompts]
        device = next(self.model.parameters(), torch.empty(0)).device
        rows = [[self.pad_id] * pad + prompt.ids for pad, prompt in zip(padding, prompts, strict=True)]
        attended = torch.arange(width, device=device) >= torch.tensor(padding, device=device).unsqueeze(1)
        model: Any = self.model
        with frozen(self.model):
            written: Tensor = model.generate(
                input_ids=torch.tensor(rows, device=device),
                attention_mask=attended.long(),
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=self.pad_id,
            )
        return [text.strip() for text in self.text_tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)]
