"""Pictures on the disk: a path that says it is one, and what the picture shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rankgrad._checks import InputError, require

if TYPE_CHECKING:
    from PIL.Image import Image


class ImagePath(str):
    """The path of a picture: a document that is looked at, where another is read.

    Example:
        >>> ImagePath("pages/1.png") == "pages/1.png"
        True
    """

    __slots__ = ()


def read_image(path: str | Path) -> Image:
    """A picture in RGB, upright, in front of white where it is transparent; of several frames the first.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a file that is no picture, is cut short or damaged, or is too large to be one.
        MissingExtraError: without Pillow.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp()) / "dot.png"
        >>> Image.new("RGBA", (2, 1), (255, 0, 0, 0)).save(file)
        >>> read_image(file).getpixel((0, 0))
        (255, 255, 255)
    """
    image = require("PIL.Image", "images")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no image file {str(path)[:200]!r}")
    try:
        with image.open(path) as picture:
            return as_rgb(picture)
    except Exception as error:  # decoders raise many kinds; each means the same to the caller
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: cannot be read as an image ({reason}): fetch the file again or leave it out"
        ) from error


def as_rgb(picture: Image) -> Image:
    """A picture as :func:`read_image` gives it."""
    image, operations = require("PIL.Image", "images"), require("PIL.ImageOps", "images")
    picture = operations.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        # Pillow would clip 16 bits at 255, which leaves nearly everything white.
        picture = image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = image.alpha_composite(image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
