"""The bodies of requests and responses, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, RootModel, StrictBool, StrictInt


def _whole(value: object) -> object:
    """JSON has one kind of number: 2.0 is 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Kind: TypeAlias = Literal["cross_encoder", "causal_reranker", "colbert"]
"""What a bundle that is served holds."""

AtLeastOne = Annotated[StrictInt, Field(ge=1), BeforeValidator(_whole)]
# Blank texts are refused by position, with a sentence; the document says so by a pattern.
Text = Annotated[str, Field(json_schema_extra={"pattern": r"\S"})]


class TextDocument(BaseModel):
    """A document as an object; other fields are not read."""

    text: Text


class RerankRequest(BaseModel):
    """The request of Cohere's and Jina's rerank; fields not listed here are not read."""

    query: Text = Field(description="What is looked for.")
    documents: list[Text | TextDocument] = Field(min_length=1, description="The candidates.")
    model: str | None = Field(None, description="Taken and not read: a server has one model.")
    top_n: AtLeastOne | None = Field(None, description="How many results to give back; all if left out.")
    return_documents: StrictBool = Field(False, description="Repeat the texts in the results.")
    raw_scores: StrictBool = Field(False, description="Scores as the model gives them: logits, or sums of MaxSim.")


class RerankResult(BaseModel):
    """A document in its place."""

    index: int
    relevance_score: float
    document: TextDocument | None = None


class Usage(BaseModel):
    """Tokens that went through the model, special ones included."""

    total_tokens: int


class ApiVersion(BaseModel):
    """Whose shape a response has."""

    version: str


class Meta(BaseModel):
    """What Cohere's clients look for."""

    api_version: ApiVersion


class RerankResponse(BaseModel):
    """The best document first; of equal scores the lowest index comes first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: Usage
    meta: Meta


class TeiRerankRequest(BaseModel):
    """The request of text-embeddings-inference; fields not listed here are not read."""

    query: Text
    texts: list[Text] = Field(min_length=1)
    raw_scores: StrictBool = False
    return_text: StrictBool = False


class TeiRank(BaseModel):
    """A text in its place."""

    index: int
    score: float
    text: str | None = None


class TeiRanks(RootModel[list[TeiRank]]):
    """The best text first."""


class EmbedRequest(BaseModel):
    """Texts to encode, one vector a token."""

    input: list[Text] = Field(min_length=1, description="The texts.")
    input_type: Literal["query", "document"] = "document"
    encoding_format: Literal["float", "base64"] = "float"


class TokenEmbeddings(BaseModel):
    """One text's vectors: ``tokens`` rows of ``dim`` numbers, or these as base64 of little-endian float32."""

    index: int
    tokens: int
    embeddings: list[list[float]] | str


class EmbedResponse(BaseModel):
    """The texts in the order they came in."""

    model: str
    dim: int
    data: list[TokenEmbeddings]
    usage: Usage


class Health(BaseModel):
    """``ready``, or ``draining`` with status 503: the server is about to stop."""

    status: Literal["ready", "draining"]
    model: str
    kind: Kind
    variant: str
    version: str


class ErrorDetail(BaseModel):
    """One word for programs, a sentence for people."""

    type: str
    message: str


class ErrorBody(BaseModel):
    """The body of every response that is no success."""

    error: ErrorDetail
