"""What a model of images reads: queries as tokens, pictures as pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.data.image_files import as_rgb, read_image
from rankgrad.tokens import LateInteractionTokenizer, Tokens

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ImageReader:
    """The tokenizer of a :class:`rankgrad.models.ImageColBERT`, in whose place it stands.

    Pictures are opened, decoded and resized one at a time, so that a batch of large pages needs the memory of one.

    Args:
        text: tokenizes the queries.
        processor: makes ``{"pixel_values": [images, 3, height, width]}`` of PIL images, all of one size.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> from PIL import Image
        >>> from rankgrad.tokens import LateInteractionRules
        >>> words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
        >>> text = LateInteractionTokenizer(words, LateInteractionRules(), mask_id=0)
        >>> def processor(images, return_tensors):
        ...     return {"pixel_values": torch.stack([torch.full((3, 2, 2), image.width) for image in images])}
        >>> ImageReader(text, processor).images([Image.new("RGB", (5, 3)), Image.new("L", (7, 9))])[:, 0, 0, 0]
        tensor([5, 7])
    """

    text: LateInteractionTokenizer
    processor: Callable[..., Any] = field(repr=False)

    def queries(self, texts: Sequence[str]) -> Tokens:
        """Tokenize queries."""
        return self.text.queries(texts)

    def images(self, images: Sequence[str | Path | Image]) -> Tensor:
        """Read pictures: float32 ``[images, 3, height, width]``.

        Args:
            images: paths, or PIL images.

        Raises:
            FileNotFoundError: for a path where nothing is.
            InputError: for no picture, one that cannot be read, or one that the processor cannot bring to the size of
                the others; a path is named.
            MissingExtraError: without Pillow.
        """
        if not len(images):
            raise InputError("no image given: pass at least one")
        pixels: list[Tensor] = []
        for position, one in enumerate(images):
            is_path = isinstance(one, str | Path)
            name = str(one) if is_path else f"image {position} (counting from 0)"
            picture = read_image(one) if is_path else as_rgb(one)
            try:
                made = torch.as_tensor(self.processor(images=[picture], return_tensors="pt")["pixel_values"])
            except ValueError as error:
                raise InputError(f"{name}: the image processor refuses it ({error}): leave it out") from error
            if pixels and made.shape != pixels[0].shape:
                raise InputError(
                    f"{name}: the image processor made {list(made.shape[1:])} of it and {list(pixels[0].shape[1:])} of "
                    "others: set it to resize to one size"
                )
            pixels.append(made)
        return torch.cat(pixels)
