"""What a cross-encoder may do beyond one score a pair, and whether its encoder can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rankgrad._checks import InputError
from rankgrad.modules.encoder_layers import layers_of
from rankgrad.modules.text_encoder import TextEncoder


@dataclass(frozen=True)
class PairOptions:
    """See :class:`rankgrad.models.CrossEncoder`."""

    listwise: bool = False
    exits: tuple[int, ...] = ()
    compress_layer: int | None = None
    compress_ratio: int = 2

    @property
    def packed_only(self) -> bool:
        """Whether padded batches cannot be scored so."""
        return self.listwise or self.compress_layer is not None

    @property
    def merge(self) -> tuple[int, int] | None:
        """After which layer words are merged, and how many become one."""
        return None if self.compress_layer is None else (self.compress_layer, self.compress_ratio)

    def settings(self) -> dict[str, Any]:
        """What a model folder must record; nothing for an ordinary model."""
        found: dict[str, Any] = {}
        if self.listwise:
            found["listwise"] = True
        if self.exits:
            found["exits"] = list(self.exits)
        if self.compress_layer is not None:
            found |= {"compress_layer": self.compress_layer, "compress_ratio": self.compress_ratio}
        return found


def check_options(encoder: TextEncoder, options: PairOptions, *, padding: str, head: str) -> None:
    """Refuse options that do not go together or that the encoder cannot have.

    Raises:
        InputError: naming the option and what to do.
    """
    if padding not in ("auto", "packed", "grouped"):
        raise InputError(f"padding={padding!r}: choose auto, packed or grouped")
    if head != "cls" and encoder.kind in ("deberta", "deberta-v2", "longformer"):
        raise InputError(f"head={head!r} adds to attention scores, which {encoder.kind} does not allow: use head='cls'")
    asked = [f"padding={padding!r}"] if padding == "packed" else []
    asked += ["listwise=True"] if options.listwise else []
    asked += [f"compress_layer={options.compress_layer}"] if options.compress_layer is not None else []
    if asked and not encoder.packs:
        raise InputError(
            f"{asked[0]} needs an encoder whose attention can be packed (BERT, RoBERTa, ELECTRA, DistilBERT, "
            f"ModernBERT, loaded with attn_implementation='sdpa'), and this is {encoder.kind}: leave it out"
        )
    if padding == "grouped" and options.packed_only:
        raise InputError(f"{asked[0]} reads packed batches only: leave out padding='grouped'")
    depth = encoder.depth
    if list(options.exits) != sorted(set(options.exits)) or any(not 1 <= layer < depth for layer in options.exits):
        raise InputError(f"exits={options.exits}: give rising numbers from 1 to {depth - 1}, the layers but the last")
    if options.compress_layer is not None and not 1 <= options.compress_layer < depth:
        raise InputError(f"compress_layer={options.compress_layer}: choose from 1 to {depth - 1}")
    if options.compress_ratio < 1:
        raise InputError(f"compress_ratio={options.compress_ratio}: at least one word must become one; pass 1 or more")
    if options.exits or options.compress_layer is not None:
        encoder.check_layers()
        layers_of(encoder.inner)
