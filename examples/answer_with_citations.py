"""From a question to an answer with citations: search, prompt, a language model, and the documents that it names.

The model is a random one of one layer that learns three answers by heart, so that there is something to cite: what
it says is no proof of understanding. For real answers take ``Generate.from_pretrained("Qwen/Qwen3-0.6B", documents)``.

    python examples/answer_with_citations.py
"""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rankgrad.pipeline import AnswerTemplate, Generate, Pipeline
from rankgrad.retrieve import BM25

DOCUMENTS = (
    "Oslo is the capital of Norway .",
    "Bergen is a port of Norway .",
    "Rome is the capital of Italy and lies on the Tiber .",
    "The Tiber is a river of Italy .",
)
ANSWERS = {
    "What is the capital of Norway": "Oslo [1]",
    "Which port has Norway": "Bergen [1]",
    "Which river is in Rome": "The Tiber [1] [2]",
}
TEMPLATE = AnswerTemplate(before="Answer :", document=" [{number}] ", between="", after=" Question : {query} Answer :")


def make() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A decoder of one layer, and a tokenizer of the words above."""
    texts = [*DOCUMENTS, *ANSWERS, *ANSWERS.values(), TEMPLATE.before, TEMPLATE.after, "[ 1 2 3 ] . end pad unknown"]
    words = sorted({word for text in texts for word in text.replace("[", "[ ").replace("]", " ]").split()})
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="unknown"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece(prefix="##")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="unknown",
        eos_token="end",
        pad_token="pad",
        clean_up_tokenization_spaces=False,
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(backend.get_vocab()), **sizes, **ends)), tokenizer


def teach(stage: Generate, search: Pipeline, steps: int = 30) -> None:
    """Learn the answers by heart, each behind the prompt that the stage makes of the search's documents."""
    optimizer = torch.optim.Adam(stage.parameters(), lr=1e-2)
    found = search(list(ANSWERS)).ids.tolist()
    lessons = []
    for (query, answer), rows in zip(ANSWERS.items(), found, strict=True):
        prompt = stage.tokenizer(query, [DOCUMENTS[row] for row in rows]).ids
        written = stage.text_tokenizer(answer + " end", add_special_tokens=False).input_ids
        labels = [-100] * len(prompt) + written
        lessons.append((torch.tensor([prompt + written]), torch.tensor([labels])))
    for _ in range(steps):
        optimizer.zero_grad()
        for ids, labels in lessons:
            stage.model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()


def main() -> None:
    search = Pipeline(BM25(DOCUMENTS), k=4)[:2]
    model, tokenizer = make()
    stage = Generate(model, tokenizer, DOCUMENTS, k=2, template=TEMPLATE, max_length=256, max_new_tokens=8)
    teach(stage.train(), search)
    stage.eval()

    queries = list(ANSWERS)
    answers = stage(queries, search(queries))
    print(stage.prompt(queries[2], answers[2].shown), "\n")
    for query, answer in zip(queries, answers, strict=True):
        print(f"{query}?  {answer.text}")
        for citation in answer.citations:
            print(f"    [{citation.number}] {'no such document' if citation.id is None else DOCUMENTS[citation.id]}")
    assert [answer.cited for answer in answers] == [(0,), (1,), (3, 2)]
    assert all(word in answers[2].text for word in ("Tiber", "1", "2"))


if __name__ == "__main__":
    main()
