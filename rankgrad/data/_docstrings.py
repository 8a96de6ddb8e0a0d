"""Cuts a docstring into the line that says what an object is for, and the rest."""

from __future__ import annotations

import inspect
import re

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_RULE = re.compile(r"^[\s=~^*#+-]{3,}$", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!vs)[.!?]['\")]?(?=\s+[A-Z0-9\"'`(*:<\[])")
_SIGNATURE = re.compile(r"[A-Za-z_][\w.]*\(")
_MOST_WORDS = 30
"""A first paragraph that is longer and holds no sentence end is a list or a table; only its first line is a summary."""


def summary_and_body(docstring: str) -> tuple[str, str]:
    """The first sentence of a docstring, and what follows with every copy of that sentence taken out.

    Signatures that open the docstrings of compiled functions belong to neither. White space runs become one blank;
    memory addresses go, because they differ at each run.

    Example:
        >>> summary_and_body("add(x, y) -> number\\n\\nAdd two numbers.\\n\\nBoth are rounded.  Add two numbers.")
        ('Add two numbers.', 'Both are rounded.')
    """
    text = _without_signatures(_RULE.sub("", _ADDRESS.sub("", inspect.cleandoc(docstring))).strip())
    first, *others = _PARAGRAPH_END.split(text, maxsplit=1)
    others = others or [""]
    sentence = " ".join(first.split())
    end = _SENTENCE_END.search(sentence)
    if end:
        sentence, more = sentence[: end.end()], sentence[end.end() :]
    elif len(sentence.split()) > _MOST_WORDS:
        head, _, more = first.partition("\n")
        sentence = " ".join(head.split())
    else:
        more = ""
    body = " ".join(f"{more} {others[0]}".split())
    copies = re.compile(re.escape(sentence.rstrip(".!?: ")) + r"[.!?:]*", re.IGNORECASE)
    return sentence, " ".join(copies.sub(" ", body).split()) if sentence.strip(".!?: ") else body


def _without_signatures(text: str) -> str:
    """Drop opening lines such as ``range(stop) -> range object``, also where the brackets span lines."""
    while opening := _SIGNATURE.match(text):
        depth, position = 1, opening.end()
        while depth and position < len(text):
            depth += {"(": 1, ")": -1}.get(text[position], 0)
            position += 1
        rest_of_line = text[position:].split("\n", 1)[0]
        if depth or (rest_of_line.strip() and not rest_of_line.strip().startswith(("->", ":"))):
            return text
        text = text[position + len(rest_of_line) :].strip()
    return text
