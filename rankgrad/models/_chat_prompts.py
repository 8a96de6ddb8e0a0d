"""Between the text that a tokenizer makes of a pair, by a chat template or by itself, and the prompt of a decoder."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from rankgrad._checks import InputError
from rankgrad.prompts import PromptTemplate, PromptTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_QUERY, _DOCUMENT, _SYSTEM = "placeofquery", "placeofdocument", "placeofsystem"
# Ends of a query and beginnings and ends of a document with which the text around them might make one token.
_PROBES = (("how high", "it is 8849 m"), ("Oslo?", "(x)"), ("a", "b."), ("7", "yes"))
_ENDLESS = 1 << 24


class Chat(NamedTuple):
    """How a chat template is called.

    Attributes:
        structured: a message's content is a list of parts, and not the text itself.
        options: what it is told beside the messages.
        system: the text of a message before the pair's; empty for none.
    """

    structured: bool
    options: dict[str, Any]
    system: str


def prompt_of_chat(source: str, tokenizer: PreTrainedTokenizerFast, chat: Chat) -> PromptTemplate:
    """The prompt that a chat template makes of a message of the role ``query`` and one of the role ``document``.

    Raises:
        InputError: for a template that cannot be rendered, or that does not show both once, the document last.
    """
    text = _rendered(source, tokenizer, chat._replace(system=chat.system and _SYSTEM), _QUERY, _DOCUMENT)
    if chat.system and text.count(_SYSTEM) == 1:
        text, instruction = text.replace(_SYSTEM, "{instruction}"), chat.system
    else:
        text, instruction = _rendered(source, tokenizer, chat, _QUERY, _DOCUMENT), ""
    for name, place in (("query", _QUERY), ("document", _DOCUMENT)):
        if f"{{{name}}}" in text:
            raise InputError(f"{source}: its chat template holds {{{name}}} as a text of its own, which no prompt says")
        if text.count(place) != 1:
            raise InputError(
                f"{source}: its chat template shows the {name} {text.count(place)} times: read is once each"
            )
    body, after = text.split(_DOCUMENT)
    if _QUERY in after:
        raise InputError(f"{source}: its chat template puts the query behind the document, which may be cut at its end")
    body = body.removeprefix(lead_of(tokenizer)).replace(_QUERY, "{query}") + "{document}"
    prompt = PromptTemplate(before="", body=body, after=after, instruction=instruction)

    def expected(query: str, document: str) -> list[int]:
        rendered = _rendered(source, tokenizer, chat, query, document)
        return tokenizer(rendered, add_special_tokens=False).input_ids  # type: ignore[return-value]

    _check(source, tokenizer, prompt, expected)
    return prompt


def prompt_of_pair(source: str, tokenizer: PreTrainedTokenizerFast, prefix: str) -> PromptTemplate:
    """The prompt that says what the tokenizer makes of two texts, with ``prefix`` before the query.

    Raises:
        InputError: for a tokenizer that joins them in a way no prompt says.
    """
    pair = tokenizer.backend_tokenizer.encode("a", "b")
    sides = pair.sequence_ids
    first, second = (max(place for place, side in enumerate(sides) if side == which) for which in (0, 1))
    between, behind = "".join(pair.tokens[first + 1 : sides.index(1)]), "".join(pair.tokens[second + 1 :])
    body = f"{prefix}{{query}}{between}{{document}}"
    prompt = PromptTemplate(before="", body=body, after=behind, instruction="")
    _check(source, tokenizer, prompt, lambda query, document: tokenizer(prefix + query, document).input_ids)  # type: ignore[arg-type, return-value]
    return prompt


def chat_of_prompt(prompt: PromptTemplate, tokenizer: PreTrainedTokenizerFast) -> str:
    """The chat template that makes the prompt's text; a system message takes the place of its instruction."""
    found = "messages | selectattr('role', 'equalto', '{}') | map(attribute='content') | list"
    sets = [f"{{%- set {role}s = {found.format(role)} -%}}" for role in ("query", "document", "system")]
    places = {
        "{query}": "querys[0]",
        "{document}": "documents[0]",
        "{instruction}": f"(systems[0] if systems else {_literal(prompt.instruction)})",
    }
    parts = [_literal(lead_of(tokenizer))]
    for text, names in ((prompt.before, ["{instruction}"]), (prompt.body, places), (prompt.after, ["{instruction}"])):
        pieces = re.split("(" + "|".join(map(re.escape, names)) + ")", text)
        parts += [places[piece] if place % 2 else _literal(piece) for place, piece in enumerate(pieces)]
    return "".join([*sets, "{{- ", " ~ ".join(part for part in parts if part != _literal("")), " -}}"])


def lead_of(tokenizer: PreTrainedTokenizerFast) -> str:
    """The special tokens that begin every text, as text."""
    alone = tokenizer.backend_tokenizer.encode("a")
    return "".join(alone.tokens[: alone.special_tokens_mask.index(0)])


def tokens_around(tokenizer: PreTrainedTokenizerFast, prompt: PromptTemplate) -> int:
    """How many tokens a prompt has beside query and document."""
    return int(_endless(tokenizer, prompt)([""], [""]).lengths[0])


def _endless(tokenizer: PreTrainedTokenizerFast, prompt: PromptTemplate) -> PromptTokenizer:
    return PromptTokenizer(tokenizer.backend_tokenizer, prompt, max_length=_ENDLESS, query_length=_ENDLESS // 4)


def _check(
    source: str, tokenizer: PreTrainedTokenizerFast, prompt: PromptTemplate, expected: Callable[[str, str], list[int]]
) -> None:
    """Refuse a prompt whose tokens are not those of the folder's own text."""
    ours = _endless(tokenizer, prompt)
    for query, document in _PROBES:
        if ours([query], [document]).input_ids[0].tolist() != list(expected(query, document)):
            raise InputError(
                f"{source} joins query and document in a way that no prompt says (the text around them makes other "
                "tokens together with them, or lacks those that begin a text): pass a template of your own"
            )


def _rendered(source: str, tokenizer: PreTrainedTokenizerFast, chat: Chat, query: str, document: str) -> str:
    texts = {**({"system": chat.system} if chat.system else {}), "query": query, "document": document}
    messages = [
        {"role": role, "content": [{"type": "text", "text": text}] if chat.structured else text}
        for role, text in texts.items()
    ]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **chat.options))
    except Exception as error:  # jinja and the template itself raise many kinds; each means the same to the caller
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{source}: its chat template cannot be rendered ({lines[0][:200]})") from error


def _literal(text: str) -> str:
    """A string of a template's language."""
    escaped = text.encode("unicode_escape").decode("ascii").replace("'", "\\'")
    return f"'{escaped}'"
