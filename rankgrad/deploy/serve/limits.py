"""Which texts a request may hold."""

from __future__ import annotations

from collections.abc import Sequence

from rankgrad.deploy.serve.errors import RequestError
from rankgrad.deploy.serve.settings import ServerSettings


def check_texts_of(
    settings: ServerSettings, *, query: str | None, documents: Sequence[str], what: str = "documents"
) -> None:
    """Refuse too many texts, one that is too long, has no visible character, or is no Unicode.

    Args:
        settings: the limits.
        query: None where there is none.
        documents: the other texts.
        what: the name of their field.

    Raises:
        RequestError: naming the field and the position, never the text.

    Example:
        >>> check_texts_of(ServerSettings(max_documents=1), query="a", documents=["b", "c"])
        Traceback (most recent call last):
        ...
        rankgrad.deploy.serve.errors.RequestError: documents: 2 are more than the 1 allowed: send them in parts
    """
    if len(documents) > settings.max_documents:
        raise RequestError(
            413,
            "too_many_documents",
            f"{what}: {len(documents)} are more than the {settings.max_documents} allowed: send them in parts",
        )
    named = [] if query is None else [("query", query)]
    for name, text in [*named, *((f"{what}.{place}", text) for place, text in enumerate(documents))]:
        if len(text) > settings.max_characters:
            raise RequestError(
                413,
                "text_too_long",
                f"{name}: {len(text)} characters are more than the {settings.max_characters} allowed: cut it",
            )
        if not text.strip():
            raise RequestError(422, "invalid_request", f"{name}: it is empty; give it at least one word")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RequestError(
                422, "invalid_request", f"{name}: character {error.start} is half a surrogate pair; send the whole one"
            ) from None
