"""Printing ranked documents with what speaks for them: marks in the text, matches of tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad.cli._parser import Parser
from rankgrad.cli._show import Found, is_terminal, show

if TYPE_CHECKING:
    from rankgrad import deploy, models
    from rankgrad.cli._load import BundleRanker, TrainedModel
    from rankgrad.rerank import Explanation

WIDTH = 100


def add_explain(parser: Parser) -> None:
    """Register the option."""
    parser.add_argument(
        "--explain",
        action="store_true",
        help="show what a ColBERT found in each document: its snippet with the most evidence, marked, and which of its "
        "tokens answered which word of the query; in JSON, as matches",
    )


def explainable(models: Sequence[BundleRanker | TrainedModel]) -> deploy.ColBERT | models.ColBERT:
    """The last ColBERT among models.

    Raises:
        InputError: when there is none.
    """
    from rankgrad.deploy import ColBERTReranker
    from rankgrad.tokens import LateInteractionTokenizer

    for model in reversed(models):
        if isinstance(model.tokenizer, LateInteractionTokenizer) and not isinstance(model, ColBERTReranker):
            return model  # type: ignore[return-value]
    raise InputError("--explain takes the score of a ColBERT apart: give one as --model, others have no parts by token")


def show_explained(
    query: str, found: Sequence[Found], model: deploy.ColBERT | models.ColBERT, *, name: str, as_json: bool
) -> None:
    """Print ranked documents as :func:`rankgrad.cli._show.show` does, each with its explanation.

    Args:
        query: repeated in JSON.
        found: the documents, best first.
        model: the ColBERT that explains.
        name: what a document's name is: ``"id"`` or ``"document"``.
        as_json: one JSON object instead of a table.
    """
    from rankgrad.rerank import explain

    if not found:
        show(query, found, name=name, as_json=as_json)
        return
    explanations = explain(model, query, [row.text for row in found])
    if as_json:
        print(
            json.dumps({"query": query, "results": _results(found, explanations, name)}, ensure_ascii=False, indent=2)
        )
        return
    colour = is_terminal() and not os.environ.get("NO_COLOR")
    if is_terminal() and find_spec("rich"):
        _rich_table(found, explanations, name, colour=colour)
        return
    for rank, (row, each) in enumerate(zip(found, explanations, strict=True), 1):
        text, answers = each.to_terminal(width=WIDTH, colour=colour).split("\n")
        print(f"{rank:>3}  {row.score:>9.4f}  {row.name}  {text}\n{'':16}{answers}")


def _results(found: Sequence[Found], explanations: Sequence[Explanation], name: str) -> list[dict[str, object]]:
    """The rows of JSON. The matches add up to ``late_interaction_score``; a later model may have the last word."""
    return [
        {"rank": rank, name: row.name, "score": row.score, "text": row.text}
        | {"snippet": each.snippet(WIDTH), "late_interaction_score": each.score, "matches": each.to_dict()["matches"]}
        for rank, (row, each) in enumerate(zip(found, explanations, strict=True), 1)
    ]


def _rich_table(found: Sequence[Found], explanations: Sequence[Explanation], name: str, *, colour: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column(name, no_wrap=True)
    table.add_column("what was found", ratio=1)
    for rank, (row, each) in enumerate(zip(found, explanations, strict=True), 1):
        text, answers = each.to_terminal(width=WIDTH, colour=colour).split("\n")
        cell = Text.assemble(Text.from_ansi(text), "\n", (answers, "dim"))
        table.add_row(str(rank), f"{row.score:.4f}", Text(row.name), cell)
    Console().print(table)
