"""Images as documents: their patches are the tokens that a query's words are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.data.collate import TextTokens
from rankgrad.models import _folder
from rankgrad.models.colbert import ColBERT
from rankgrad.modules.projection import Projection
from rankgrad.modules.token_pooling import Pooling, pool_tokens
from rankgrad.ops import maxsim
from rankgrad.types import PackedTokens

KIND = "image_colbert"
_HEAD = "head.safetensors"


class ImageFeatures(NamedTuple):
    """The queries of a batch and its images.

    Shape:
        queries: one row a list.
        pixel_values: float ``[images, 3, height, width]``, as the vision encoder wants them.
        slots: int64 ``[queries, candidates]``: the image of each candidate; None: every image, in order, is a candidate
            of every query.
    """

    queries: TextTokens
    pixel_values: Tensor
    slots: Tensor | None = None


class ImageColBERT(nn.Module):
    """Score images for text queries by MaxSim between a query's tokens and an image's patches.

    Args:
        text: reads the queries; its documents may be compared with the same queries.
        vision: an ``AutoModel`` vision encoder of square patches (ViT, SigLIP, DINOv2, CLIP's vision half).
        image_processor: makes ``{"pixel_values": [images, 3, height, width]}`` of PIL images; None: only tensors are
            taken.

    Shape:
        - features: :class:`ImageFeatures`
        - returns: float32 scores ``[queries, candidates]``, or ``[queries, images]``

    Raises:
        InputError: for a vision encoder without patches.

    Reference:
        Faysse, Sibille, Wu, Omrani, Viaud, Hudelot, Colombo, "ColPali: Efficient Document Retrieval with Vision
        Language Models", ICLR 2025; there patches also pass through a language model.
    """

    def __init__(self, text: ColBERT, vision: nn.Module, *, image_processor: Callable[..., Any] | None = None) -> None:
        super().__init__()
        config = cast(Any, vision.config)
        size, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
        if not (isinstance(size, int) and isinstance(patch, int)):
            raise InputError(f"{type(vision).__name__} has no image_size and patch_size: choose an encoder of patches")
        self.text = text
        self.vision = vision
        self.image_processor = image_processor
        self.image_size = size
        self.patches = (size // patch) ** 2
        self.projection = Projection(int(config.hidden_size), text.dim)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, text: str | Path | None = None, trust_remote_code: bool = False
    ) -> ImageColBERT:
        """Load a saved model, or start one from a vision encoder.

        Args:
            name: a folder that :meth:`save_pretrained` wrote, or, with ``text``, a vision encoder's folder or hub id.
            text: the ColBERT (or text encoder) that reads the queries of a new model.
            trust_remote_code: run code that comes with the model. Leave it off for files you do not know.

        Raises:
            InputError: when the files are no model, are truncated, or belong to another model.
        """
        root = Path(name)
        saved = _folder.read_json(root / _folder.SETTINGS).get("kind") == KIND
        if not saved and text is None:
            raise InputError(
                f"{name} holds no saved ImageColBERT: give text=, a ColBERT to read the queries of a new one"
            )
        vision_name = str(root / "vision") if saved else _folder.resolve(name)
        reader = ColBERT.from_pretrained(
            cast(Any, root / "text" if saved else text), trust_remote_code=trust_remote_code
        )
        vision = _folder.load_backbone(vision_name, trust_remote_code=trust_remote_code)
        model = cls(reader, vision, image_processor=_processor(vision_name))
        if saved:
            _folder.load_state(model.projection, _folder.load_tensors(root / _HEAD), root / _HEAD)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write text model, vision encoder and projection, each in its library's layout; all of it or nothing."""
        check_replaceable(folder, _folder.SETTINGS)
        with atomic_folder(folder) as temporary:
            self.text.save_pretrained(temporary / "text")
            _folder.save_backbone(self.vision, temporary / "vision")
            if self.image_processor is not None:
                self.image_processor.save_pretrained(temporary / "vision")  # type: ignore[attr-defined]
            _folder.save_tensors(self.projection.state_dict(), temporary / _HEAD)
            _folder.write_json(temporary / _folder.SETTINGS, {"kind": KIND})

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def embed_images(self, pixel_values: Tensor) -> Tensor:
        """Patch embeddings: float32 ``[images, patches, dim]``, of unit length.

        Raises:
            InputError: for tensors of another size than the encoder reads.
        """
        wanted = [3, self.image_size, self.image_size]
        if list(pixel_values.shape[1:]) != wanted:
            raise InputError(
                f"pixel_values {list(pixel_values.shape)}: expected {['images', *wanted]}; resize the images"
            )
        hidden = self.vision(pixel_values=pixel_values).last_hidden_state
        # Encoders with a class token (and registers) put it before the patches.
        return self.projection(hidden[:, -self.patches :])

    def forward(self, features: ImageFeatures) -> Tensor:
        """Score the images of a batch."""
        queries = self.text.embed_queries(features.queries)
        scores = maxsim(queries, self.embed_images(features.pixel_values), features.queries.scored)
        return scores if features.slots is None else scores.gather(1, features.slots)

    def encode_queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode query texts, as :meth:`rankgrad.models.ColBERT.encode_queries`."""
        return self.text.encode_queries(texts)

    def encode_images(
        self,
        images: Tensor | Sequence[Any],
        *,
        batch_size: int = 8,
        pool_factor: int = 1,
        pooling: Pooling = "hierarchical",
    ) -> PackedTokens:
        """Encode images.

        Args:
            images: ``[images, 3, height, width]`` ready for the encoder, or PIL images.
            batch_size: images encoded together.
            pool_factor, pooling: see :func:`rankgrad.modules.pool_tokens`; 1 = every patch is kept.

        Raises:
            InputError: for PIL images without an image processor, no images, or a wrong size.
        """
        if not len(images):
            raise InputError("no image given: pass at least one")
        rows = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            pixels = batch if isinstance(batch, Tensor) else self._pixels(batch)
            rows.append(self.embed_images(pixels.to(self.device)))
        embeddings = torch.cat(rows)
        offsets = torch.arange(len(embeddings) + 1, dtype=torch.int32, device=self.device) * self.patches
        packed = PackedTokens(embeddings.flatten(0, 1), offsets)
        return pool_tokens(packed, factor=pool_factor, method=pooling, protected=0)

    def score(self, queries: Sequence[str], images: PackedTokens) -> Tensor:
        """MaxSim of every query with every encoded image: float32 ``[queries, images]``."""
        embeddings, mask = self.encode_queries(queries)
        return maxsim(embeddings, images.embeddings, mask, document_cu_seqlens=images.cu_seqlens)

    def _pixels(self, images: Sequence[Any]) -> Tensor:
        if self.image_processor is None:
            raise InputError("this model has no image processor: pass a tensor [images, 3, height, width]")
        return self.image_processor(images=list(images), return_tensors="pt")["pixel_values"]


def _processor(name: str) -> Callable[..., Any] | None:
    """The folder's image processor; None where it has none."""
    if not _folder.fetch(name, "preprocessor_config.json").is_file():
        return None
    try:
        return require("transformers", "text").AutoImageProcessor.from_pretrained(name)
    except ImportError as error:
        raise InputError(f"{name} has an image processor that needs Pillow ({error}): pip install pillow") from error
