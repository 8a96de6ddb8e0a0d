"""Decoders that score by their answer or by a linear head: against transformers' own logits, with and without LoRA."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.data.collate import ListCollate
from rankgrad.losses import SoftmaxLoss
from rankgrad.models import CausalReranker, _causal_backbone
from rankgrad.prompts import BGE_GEMMA, QWEN3, PromptTemplate, PromptTokenizer
from rankgrad.rerank import CrossEncoderReranker
from rankgrad.types import Ranking

SHORT = PromptTemplate(before="sort: ", body="{instruction} {query} / {document}", after=" a:", instruction="open")
QUERIES = ["return the number of items", "open a file", "open a file"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "x"]
LISTS = [
    CandidateList("open a file", ("read its lines", "sort the values"), (1.0, 0.0)),
    CandidateList("sort values", ("sort the values",), (1.0,)),
]


@pytest.fixture(scope="module")
def gemma_folder(tiny_decoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 2 of 2 layers, with a sliding window shorter than the prompts, capped logits and tied embeddings."""
    from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny") / "gemma"
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder_folder)
    tokenizer.save_pretrained(folder)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    size |= {"head_dim": 8, "intermediate_size": 24, "sliding_window": 6, "vocab_size": len(tokenizer)}
    Gemma2ForCausalLM(Gemma2Config(**size, pad_token_id=0, final_logit_softcapping=0.05)).save_pretrained(folder)
    return folder


@torch.no_grad()
def left_padded_scores(folder: Path, texts: list[str], *, yes: str = "yes", no: str | None = "no") -> torch.Tensor:
    """What transformers gives for prompts padded on the left, from all logits of the last position."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    cls = tokenizer.convert_tokens_to_ids("[CLS]")
    rows = [[cls, *tokenizer(text, add_special_tokens=False).input_ids] for text in texts]
    width = max(map(len, rows))
    ids = torch.tensor([[7] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    logits = model(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits[:, -1]
    found = logits[:, tokenizer.convert_tokens_to_ids(yes)]
    return found if no is None else found - logits[:, tokenizer.convert_tokens_to_ids(no)]


def prompts() -> list[str]:
    return [f"sort: open {query} / {document} a:" for query, document in zip(QUERIES, DOCUMENTS, strict=True)]


@pytest.mark.parametrize("no", ["no", None])
@pytest.mark.parametrize("family", ["qwen3", "gemma2"])
def test_the_score_is_that_of_left_padded_prompts(
    family: str, no: str | None, tiny_decoder_folder: Path, gemma_folder: Path
) -> None:
    folder = tiny_decoder_folder if family == "qwen3" else gemma_folder
    template = PromptTemplate(**SHORT.to_dict() | {"no": no})
    model = CausalReranker.from_pretrained(folder, template=template)
    expected = left_padded_scores(folder, prompts(), no=no)
    assert expected.std() > 1e-4
    for batch_size in (1, 3):
        torch.testing.assert_close(model.score(QUERIES, DOCUMENTS, batch_size=batch_size), expected, atol=1e-5, rtol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.score(QUERIES, DOCUMENTS).dtype == torch.float32
    assert not model.score(QUERIES, DOCUMENTS).requires_grad
    assert model.train().score(QUERIES, DOCUMENTS).requires_grad


@pytest.mark.parametrize(
    "options", [{}, {"head": "linear"}, {"template": PromptTemplate(before="", after=" a", no=None)}]
)
def test_a_backbone_called_whole_gives_the_same(options: dict, gemma_folder: Path) -> None:
    model = CausalReranker.from_pretrained(gemma_folder, **{"template": SHORT, **options})
    for group in ListCollate(model.tokenizer)(LISTS).features.groups:
        whole = _causal_backbone.whole_scores(model.backbone, group, model.answers)
        torch.testing.assert_close(whole, model.logits(group), atol=1e-5, rtol=0)


def test_it_reranks_where_a_cross_encoder_does(tiny_decoder_folder: Path) -> None:
    model = CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT)
    stage = CrossEncoderReranker(model, DOCUMENTS, k=3)
    incoming = Ranking(torch.tensor([[0, 1, 2]]), torch.tensor([[3.0, 2.0, 1.0]]), torch.ones(1, 3, dtype=torch.bool))
    expected = model.score(["open a file"] * 3, DOCUMENTS).sort(descending=True)
    assert stage(["open a file"], incoming).ids[0].tolist() == expected.indices.tolist()


def test_qwen3s_prompt_is_the_published_one(tiny_tokenizer) -> None:
    assert QWEN3.filled("before") + QWEN3.text("Q", "D") + QWEN3.filled("after") == (
        '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct '
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n<Query>: Q\n"
        "<Document>: D<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )  # fmt: skip
    assert BGE_GEMMA.text("Q", "D") == "A: Q\nB: D"
    assert BGE_GEMMA.filled("after").startswith("\nGiven a query A and a passage B")


def test_a_long_query_and_a_long_document_are_cut_and_nothing_else(tiny_tokenizer) -> None:
    tokenizer = PromptTokenizer(tiny_tokenizer, SHORT, max_length=16, query_length=2)
    tokens = tokenizer(["return the number of items"], ["open a file " * 9])
    words = [tiny_tokenizer.id_to_token(int(token)) for token in tokens.input_ids[0]]
    expected = ["[CLS]", *"sort : open return the / open a file open a file open a :".replace("a :", "").split()]
    assert words[: len(expected)] == expected
    assert words[-2:] == ["a", ":"]
    assert len(words) == 16
    with pytest.raises(InputError, match="max_length=8 leaves no room for a document"):
        PromptTokenizer(tiny_tokenizer, SHORT, max_length=8)
    with pytest.raises(InputError, match=r"yes='certainly' is 9 tokens"):
        _ = PromptTokenizer(tiny_tokenizer, PromptTemplate(yes="certainly")).answers


@pytest.mark.parametrize("head", ["answer", "linear"])
def test_low_rank_updates_train_alone_and_are_saved_merged_and_apart(
    head: str, tiny_decoder_folder: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft", reason="needs the lora extra")
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    options = {"head": head, "template": SHORT, "layers": 2}
    start = CausalReranker.from_pretrained(tiny_decoder_folder, **options)  # type: ignore[arg-type]
    start.save_pretrained(tmp_path / "start")
    model = CausalReranker.from_pretrained(tmp_path / "start", lora_rank=2)
    before = model.score(QUERIES, DOCUMENTS)
    torch.testing.assert_close(before, start.score(QUERIES, DOCUMENTS), atol=1e-6, rtol=0)

    frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    learnt = [value for value in model.parameters() if value.requires_grad]
    assert len(learnt) == 2 * 7 * 2 + (head == "linear")
    optimizer = torch.optim.SGD(learnt, lr=5.0)
    batch = ListCollate(model.tokenizer)(LISTS)
    for _ in range(2):
        optimizer.zero_grad()
        SoftmaxLoss()(model(batch.features), batch.labels, batch.mask).backward()
        optimizer.step()
    scores = model.score(QUERIES, DOCUMENTS)
    assert (scores - before).abs().max() > 1e-3
    assert all(torch.equal(value, frozen[name]) for name, value in model.named_parameters() if name in frozen)

    model.save_pretrained(tmp_path / "merged")
    model.save_adapter(tmp_path / "adapter")
    merged = CausalReranker.from_pretrained(tmp_path / "merged")
    assert (merged.head_name, merged.lora, merged.tokenizer.template) == (head, None, SHORT)
    again = CausalReranker.from_pretrained(tmp_path / "start", adapter=tmp_path / "adapter")
    assert any(value.requires_grad for value in again.parameters())
    for each in (merged, again):
        torch.testing.assert_close(each.score(QUERIES, DOCUMENTS), scores, atol=1e-5, rtol=0)
    if head == "answer":
        expected = left_padded_scores(tmp_path / "merged", prompts())
        torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)

    kind = AutoModelForCausalLM if head == "answer" else AutoModelForSequenceClassification
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT asks transformers by an older name.
        theirs = peft.PeftModel.from_pretrained(kind.from_pretrained(tmp_path / "start"), str(tmp_path / "adapter"))
    whole = CausalReranker(theirs.merge_and_unload(), model.text_tokenizer, head=head, template=SHORT).eval()  # type: ignore[arg-type]
    torch.testing.assert_close(whole.score(QUERIES, DOCUMENTS), scores, atol=1e-5, rtol=0)


def test_updates_of_half_precision_weights_are_learned_in_float32(tiny_decoder_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="needs the lora extra")
    model = CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT, lora_rank=2, dtype="bfloat16")
    kinds = {value.requires_grad: value.dtype for value in model.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    batch = ListCollate(model.tokenizer)(LISTS)
    scores = model(batch.features)
    assert scores.dtype == torch.float32
    scores.sum().backward()
    assert any(value.grad is not None and value.grad.any() for value in model.parameters())
    model.save_pretrained(tmp_path / "merged")
    again = CausalReranker.from_pretrained(tmp_path / "merged", dtype="bfloat16")
    torch.testing.assert_close(again.score(QUERIES, DOCUMENTS), model.score(QUERIES, DOCUMENTS))


def test_the_first_layers_alone_give_their_own_scores(tiny_decoder_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, Qwen3Model

    model = CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT, layers=1)
    whole = Qwen3Model.from_pretrained(tiny_decoder_folder).eval()
    batch = ListCollate(model.tokenizer, group_size=1)(LISTS)
    with torch.no_grad():
        for row, group in enumerate(batch.features.groups):
            first = whole(group.input_ids, output_hidden_states=True).hidden_states[1]
            head = model.backbone.get_output_embeddings().weight
            logits = whole.norm(first[0, -1]) @ head.T
            yes, no = model.tokenizer.answers
            place = (batch.features.slots == row).nonzero()[-1]
            torch.testing.assert_close(model(batch.features)[tuple(place)], logits[yes] - logits[no], atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path / "short")
    assert AutoConfig.from_pretrained(tmp_path / "short").num_hidden_layers == 1
    again = CausalReranker.from_pretrained(tmp_path / "short")
    torch.testing.assert_close(again.score(QUERIES, DOCUMENTS), model.score(QUERIES, DOCUMENTS))
    with pytest.raises(InputError, match="layers=9: the model has 3"):
        CausalReranker.from_pretrained(tiny_decoder_folder, layers=9)


def test_what_cannot_be_is_said(tiny_decoder_folder: Path, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a bert, no decoder"):
        CausalReranker.from_pretrained(tiny_encoder_folder)
    model = CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT)
    with pytest.raises(InputError, match="no low-rank updates"):
        model.save_adapter(tmp_path / "adapter")
    with pytest.raises(InputError, match="queries and documents pair up"):
        model.score(QUERIES, DOCUMENTS[:1])
    with pytest.raises(InputError, match="has no linear layer called score"):
        CausalReranker(model.backbone, model.text_tokenizer, head="linear", template=SHORT)
    with pytest.raises(InputError, match="at its end"):
        PromptTemplate(body="{document} {query}")
    pytest.importorskip("peft", reason="needs the lora extra")
    with pytest.raises(InputError, match="lora_targets"):
        CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT, lora_rank=2, lora_targets=["nothing"])
    with pytest.raises(InputError, match="holds no adapter"):
        CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT, adapter=tmp_path)


def test_autocast_makes_no_ties() -> None:
    backbone, states = torch.nn.Module(), torch.randn(64, 8)
    backbone.score = torch.nn.Linear(8, 1)
    expected = _causal_backbone.linear_scores(backbone, states)
    torch.testing.assert_close(expected, backbone.score(states)[:, 0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(_causal_backbone.linear_scores(backbone, states), expected)
