"""Causal rerankers on disk: our settings, and the module folders of sentence-transformers (Transformer, LogitScore)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rankgrad._checks import InputError
from rankgrad.models import _folder, _saved_modules
from rankgrad.models._chat_prompts import Chat, chat_of_prompt, prompt_of_chat, prompt_of_pair, tokens_around
from rankgrad.models._saved_modules import SavedModules
from rankgrad.prompts import PromptTemplate, PromptTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CausalLayout = Literal["rankgrad", "sentence-transformers"]
KIND = "causal_reranker"
_LOGITS = "causal_logits"
_SIZES = frozenset({"padding", "truncation", "max_length", "return_tensors", "restore_suffix"})


class SavedReranker(NamedTuple):
    """What a folder says beyond the decoder.

    Attributes:
        settings: head, template and lengths, those that it tells.
        origin: the modules of sentence-transformers; None = the folder is none of that library's.
    """

    settings: dict[str, Any]
    origin: SavedModules | None


def own_settings(source: str) -> dict[str, Any]:
    """Our own settings; nothing where there are none.

    Raises:
        InputError: for another kind of model.
    """
    settings = _folder.read_json(_folder.fetch(source, _folder.SETTINGS))
    if settings and settings.get("kind") != KIND:
        raise InputError(f"{source} holds a {settings.get('kind')}, no causal reranker: load it with its own class")
    return settings


def read(
    source: str, tokenizer: PreTrainedTokenizerFast, *, max_length: int | None, with_template: bool
) -> SavedReranker:
    """What a folder says of a causal reranker: nothing, for a bare decoder.

    Args:
        source: a folder or hub id.
        tokenizer: its tokenizer, which learns to lower case where the folder wishes so.
        max_length: the one asked for; None = the folder's.
        with_template: tell the folder's prompt; else the caller has one.

    Raises:
        InputError: for another kind of model, modules that are not read, or a prompt that cannot be said.
    """
    settings = own_settings(source)
    saved = _saved_modules.read(source)
    if saved is None:
        return SavedReranker(settings, None)
    head = _head(source, saved)
    if saved.transformer.get("do_lower_case"):
        _folder.lower_case(tokenizer)
    if settings or not with_template:
        return SavedReranker({"head": head} | settings, saved)
    prompt = _prompt(source, tokenizer, saved)
    if head == "answer":
        yes, no = _answers(source, tokenizer, saved)
        prompt = replace(prompt, yes=yes, no=no)
    longest = (_saved_modules.longest(source) or 512) if max_length is None else max_length
    query_length = max((longest - tokens_around(tokenizer, prompt)) // 2, 1)
    found = {"head": head, "template": prompt.to_dict(), "max_length": longest, "query_length": query_length}
    return SavedReranker(found, saved)


def write(
    folder: Path,
    tokenizer: PromptTokenizer,
    text_tokenizer: PreTrainedTokenizerFast,
    *,
    answers: tuple[int, int | None] | None,
    origin: SavedModules | None,
) -> None:
    """Add what sentence-transformers reads beside decoder and tokenizer.

    What makes the model's prompt where it came from (a chat template, or the tokenizer itself) stays; else a chat
    template is written that does.

    Args:
        tokenizer: the prompt and its lengths.
        text_tokenizer: what was written into the folder.
        answers: the ids of the answers; None for a head of one output.
        origin: see :class:`SavedReranker`.
    """
    settings = {} if origin is None else _saved_modules.kept(origin.settings)
    processing = {} if origin is None else origin.processing
    own = origin is not None and _makes(text_tokenizer, origin, tokenizer.template)
    form = _form(origin) if origin is not None and own else "flat"
    if not own:
        text = chat_of_prompt(tokenizer.template, text_tokenizer)
        (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
        processing = {part: values for part, values in processing.items() if part != "chat_template"}
        if origin is not None and origin.prompt != tokenizer.template.instruction:
            # As a system message it would take the instruction's place.
            settings.pop("default_prompt_name", None)
    processing = {
        part: {name: value for name, value in values.items() if name != "max_length"}
        for part, values in processing.items()
    }
    output = "scores" if answers is None else _LOGITS
    logits = {"method": "forward", "method_output_name": "logits"}
    changed: dict[str, Any] = {"model_max_length": tokenizer.max_length}
    if text_tokenizer.pad_token is None:
        changed["pad_token"] = text_tokenizer.convert_ids_to_tokens(tokenizer.pad_id)
    folders = _saved_modules.write(
        folder,
        ["Transformer"] if answers is None else ["Transformer", "LogitScore"],
        origin=settings,
        transformer={
            "transformer_task": "sequence-classification" if answers is None else "text-generation",
            "modality_config": {"text": logits} | ({} if form == "text" else {"message": logits | {"format": form}}),
            "module_output_name": output,
        }
        | ({"processing_kwargs": processing} if any(processing.values()) else {}),
        tokenizer=changed,
    )
    if answers is not None:
        ids = {"true_token_id": answers[0], "false_token_id": answers[1], "module_input_name": output}
        _folder.write_json(folders[1] / "config.json", ids)


def _head(source: str, saved: SavedModules) -> str:
    """The head that the modules are."""
    if "Pooling" in saved.names:
        raise InputError(
            f"{source} scores by modules on an encoder ({', '.join(saved.names)}): load it with CrossEncoder"
        )
    known = {("Transformer", "LogitScore"): "text-generation", ("Transformer",): "sequence-classification"}
    if saved.output not in (None, "logits") or known.get(saved.names) != saved.task:
        raise InputError(
            f"{source} has the modules {', '.join(saved.names)} for {saved.task}: read are Transformer and LogitScore "
            "for text-generation, or a Transformer alone for sequence-classification"
        )
    return "linear" if saved.names == ("Transformer",) else "answer"


def _prompt(source: str, tokenizer: PreTrainedTokenizerFast, saved: SavedModules) -> PromptTemplate:
    if not saved.chats:
        return prompt_of_pair(source, tokenizer, saved.prompt)
    told = saved.processing.get("chat_template") or {}
    if not told.get("restore_suffix", True):
        raise InputError(
            f"{source} lets long documents cut off the end of its prompt (restore_suffix), which is not read"
        )
    return prompt_of_chat(
        source, tokenizer, Chat(_form(saved) == "structured", _options(saved.processing), saved.prompt)
    )


def _makes(tokenizer: PreTrainedTokenizerFast, origin: SavedModules, template: PromptTemplate) -> bool:
    """Does the tokenizer, called as it was where the model came from, make this very prompt?"""
    try:
        made = _prompt("the model", tokenizer, origin)
    except InputError:
        return False
    return made == replace(template, yes=made.yes, no=made.no)


def _answers(source: str, tokenizer: PreTrainedTokenizerFast, saved: SavedModules) -> tuple[str, str | None]:
    """The words of the two tokens that a LogitScore compares."""
    where = _folder.fetch(source, f"{saved.paths[1]}/config.json")
    config = _folder.read_json(where)
    if "true_token_id" not in config:
        raise InputError(f"{where} has no 'true_token_id': copy the model folder again")
    reads, gives = config.get("module_input_name", _LOGITS), saved.transformer.get("module_output_name", _LOGITS)
    if reads != gives:
        raise InputError(f"{source}: the module {saved.paths[1]} reads {reads}, and the Transformer gives {gives}")
    yes, no = config["true_token_id"], config.get("false_token_id")
    return (
        _word(where, tokenizer, "true_token_id", yes),
        None if no is None else _word(where, tokenizer, "false_token_id", no),
    )


def _word(where: Path, tokenizer: PreTrainedTokenizerFast, key: str, token: Any) -> str:
    backend = tokenizer.backend_tokenizer
    known = backend.id_to_token(token) if isinstance(token, int) and token >= 0 else None
    if known is None:
        raise InputError(f"{where}: {key}={token!r} is no token of this tokenizer")
    for text in (backend.decode([token], skip_special_tokens=False), known):
        if backend.encode(text, add_special_tokens=False).ids == [token]:
            return text
    raise InputError(f"{where}: {key}={token!r} is the token {known!r}, which no text alone gives")


def _form(saved: SavedModules) -> str:
    """How a pair is handed to the tokenizer: as two texts, or as messages of texts or of lists of parts."""
    message = (saved.transformer.get("modality_config") or {}).get("message") or {}
    return str(message.get("format") or "flat") if saved.chats else "text"


def _options(processing: dict[str, Any]) -> dict[str, Any]:
    """What a chat template is told beside the messages."""
    return {name: value for name, value in (processing.get("chat_template") or {}).items() if name not in _SIZES}
