"""Explanations as an HTML page by itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad.rerank._evidence import Run, harmless, runs_of

if TYPE_CHECKING:
    from rankgrad.rerank.explain import Explanation, Match, Token

# No script, no request: whatever a document holds, the page shows it as text.
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff; }}
article {{ border-top: 1px solid #ccc; padding: 1rem 0; }}
p.text {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
mark {{ color: inherit; border-radius: 2px; }}
table {{ border-collapse: collapse; font-size: 14px; }}
th, td {{ text-align: left; padding: 0 1.5rem 0 0; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
</style>
</head>
<body>
"""


def explanation_page(explanations: Sequence[Explanation], *, names: Sequence[str] | None = None) -> str:
    """A page that shows the documents with their evidence marked, the deeper the more a token adds.

    It needs nothing else: no script, no style sheet, no image. Query and documents are escaped.

    Args:
        explanations: of one query or several.
        names: a name for each document, such as its id; None numbers them.

    Raises:
        InputError: for no explanations, or another number of names.
    """
    if not explanations:
        raise InputError("no explanation given: pass at least one")
    if names is not None and len(names) != len(explanations):
        raise InputError(f"names: {len(names)} for {len(explanations)} explanations; give one each")
    named = [str(place) for place in range(1, len(explanations) + 1)] if names is None else list(names)
    title = _text(f"Explanation: {explanations[0].query}")
    articles = [_article(one, name) for one, name in zip(explanations, named, strict=True)]
    return _HEAD.format(title=title) + "\n".join(articles) + "\n</body>\n</html>\n"


def _article(explanation: Explanation, name: str) -> str:
    text = explanation.document
    runs = runs_of(explanation.weighted_spans(), 0, len(text))
    body = "".join(_marked(explanation, run) for run in runs)
    rows = "\n".join(_row(match) for match in explanation.matches)
    return (
        f"<article>\n<h2>{_text(name)}: {explanation.score:.4f}</h2>\n<p>Query: {_text(explanation.query)}</p>\n"
        f'<p class="text" dir="auto">{body}</p>\n'
        "<details><summary>Matches: their similarities add up to the score</summary>\n<table>\n"
        "<tr><th>query token</th><th>document token</th><th>similarity</th></tr>\n"
        f"{rows}\n</table>\n</details>\n</article>"
    )


def _marked(explanation: Explanation, run: Run) -> str:
    piece = _text(explanation.document[run.start : run.end])
    if not run.share:
        return piece
    found = [
        f"{match.query.text} {match.similarity:.2f}"
        for match in explanation.matches
        if match.document.span is not None and match.document.span[0] <= run.start < match.document.span[1]
    ]
    shade = f"rgba(255, 193, 7, {0.15 + 0.85 * run.share:.2f})"
    return f'<mark style="background: {shade}" title="{_text(", ".join(found))}">{piece}</mark>'


def _row(match: Match) -> str:
    cells = "".join(f"<td>{_token(token)}</td>" for token in (match.query, match.document))
    return f'<tr>{cells}<td class="number">{match.similarity:.4f}</td></tr>'


def _token(token: Token) -> str:
    return _text(token.text) if token.span is not None else f"<em>{_text(token.text)}</em>"


def _text(text: str) -> str:
    return escape(harmless(text), quote=True)
