"""An explanation as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad.rerank._evidence import Run, harmless, runs_of

if TYPE_CHECKING:
    from rankgrad.rerank.explain import Explanation

# Black on yellow, the deeper the more a token adds; both colours are set, so it reads on dark and light grounds.
_LEVELS = ((2 / 3, "\x1b[30;48;5;220m"), (1 / 3, "\x1b[30;48;5;228m"), (0.0, "\x1b[30;48;5;230m"))
_RESET = "\x1b[0m"


def explanation_lines(explanation: Explanation, *, width: int | None = None, colour: bool = True) -> list[str]:
    """The document with its evidence marked, and under it what answered each word of the query.

    Args:
        explanation: what :func:`rankgrad.rerank.explain` gave.
        width: show the window of so many characters with the most evidence; None = the whole document.
        colour: mark by colours, as escape sequences; else by asterisks.

    Returns:
        Two lines, the first with the line breaks of the document made spaces. What a document says to a terminal
        (escape sequences) is taken out.

    Raises:
        InputError: for a width below 1.
    """
    return [marked(explanation, width=width, colour=colour), answers(explanation)]


def marked(explanation: Explanation, *, width: int | None = None, colour: bool = True) -> str:
    """The first line of :func:`explanation_lines`.

    Raises:
        InputError: for a width below 1.
    """
    if width is not None and width < 1:
        raise InputError(f"width={width}: a window needs at least 1 character")
    text = explanation.document
    start, end = (0, len(text)) if width is None else explanation.window(width)
    body = "".join(_marked(text, run, colour=colour) for run in runs_of(explanation.weighted_spans(), start, end))
    before, after = ("… " if text[:start].strip() else ""), (" …" if text[end:].strip() else "")
    return before + body.strip() + after


def answers(explanation: Explanation) -> str:
    """The second line of :func:`explanation_lines`: ``sort→sorted 0.91  list→list 0.88``, and what expansion adds."""
    words = [match for match in explanation.matches if match.query.span is not None]
    others = [match.similarity for match in explanation.matches if match.query.span is None]
    shown = [f"{harmless(one.query.text)}→{harmless(one.document.text)} {one.similarity:.2f}" for one in words]
    if others:
        shown.append(f"{len(others)} other token{'s' if len(others) > 1 else ''} {sum(others):.2f}")
    return "  ".join(shown)


def _marked(text: str, run: Run, *, colour: bool) -> str:
    # White space stays as many characters as it is; only its kind changes.
    piece = "".join(" " if c in "\n\t\r" else c for c in harmless(text[run.start : run.end]))
    if not run.share or not piece.strip():
        return piece
    if not colour:
        return f"*{piece}*"
    return next(code for least, code in _LEVELS if run.share > least) + piece + _RESET
