"""Images as documents: their patches are the tokens that a query's words are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize as unit

from rankgrad._checks import InputError
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad._modes import learns
from rankgrad.data.collate import ImageFeatures, TextTokens
from rankgrad.data.image_reader import ImageReader
from rankgrad.models import _folder
from rankgrad.models._vision import load_processor, load_vision
from rankgrad.models.colbert import ColBERT
from rankgrad.modules.projection import Projection
from rankgrad.modules.token_pooling import Pooling, pool_tokens
from rankgrad.ops import maxsim
from rankgrad.types import PackedTokens

if TYPE_CHECKING:
    from PIL.Image import Image

KIND = "image_colbert"
_HEAD = "head.safetensors"


class ImageColBERT(nn.Module):
    """Score images for text queries by MaxSim between a query's tokens and an image's patches.

    Args:
        text: reads the queries; its documents may be compared with the same queries. Images follow its width, see
            :meth:`rankgrad.models.ColBERT.truncate`.
        vision: an ``AutoModel`` vision encoder of square patches (ViT, SigLIP, DINOv2, CLIP's vision half).
        image_processor: makes ``{"pixel_values": [images, 3, height, width]}`` of PIL images; only one of transformers
            can be saved. None: only tensors are taken.

    Attributes:
        temperature: softness of the maximum in training, see :class:`rankgrad.training.AnnealTemperature`; None = hard.

    Shape:
        - features: :class:`rankgrad.data.ImageFeatures`, from :class:`rankgrad.data.ListCollate`
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
        self.projection = Projection(int(config.hidden_size), text.projection.full_dim)
        self.temperature: float | None = None

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, text: str | Path | None = None, trust_remote_code: bool = False
    ) -> ImageColBERT:
        """Load a saved model, or start one from a vision encoder.

        Args:
            name: a folder that :meth:`save_pretrained` wrote, or, with ``text``, the folder or hub id of a vision
                encoder, or of a CLIP or SigLIP, whose vision half is taken.
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
        vision = load_vision(vision_name, trust_remote_code=trust_remote_code)
        processor = load_processor(vision_name, trust_remote_code=trust_remote_code)
        model = cls(reader, vision, image_processor=processor)
        if saved:
            _folder.load_state(model.projection, _folder.load_tensors(root / _HEAD), root / _HEAD)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write text model, vision encoder and projection, each in its library's layout; all of it or nothing.

        Raises:
            InputError: for an image processor that cannot be saved.
        """
        if self.image_processor is not None and not hasattr(self.image_processor, "save_pretrained"):
            raise InputError(
                f"image_processor {self.image_processor!r} has no save_pretrained: set model.image_processor to None, "
                "or to one of transformers, before saving"
            )
        check_replaceable(folder, _folder.SETTINGS)
        with atomic_folder(folder) as temporary:
            self.text.save_pretrained(temporary / "text")
            _folder.save_backbone(self.vision, temporary / "vision")
            if self.image_processor is not None:
                self.image_processor.save_pretrained(temporary / "vision")  # type: ignore[attr-defined]
            _folder.save_tensors(self.projection.state_dict(), temporary / _HEAD)
            _folder.write_json(temporary / _folder.SETTINGS, {"kind": KIND})

    @property
    def tokenizer(self) -> ImageReader:
        """What :class:`rankgrad.data.ListCollate` reads queries and image files with.

        Raises:
            InputError: without an image processor.
        """
        if self.image_processor is None:
            raise InputError(
                "this model has no image processor: give it one (preprocessor_config.json in the vision encoder's "
                "folder, or image_processor=), or pass a tensor [images, 3, height, width]"
            )
        return ImageReader(self.text.tokenizer, self.image_processor)

    @property
    def backbone(self) -> nn.Module:
        """The vision encoder: nearly all of the work, so what a training compiles or checkpoints."""
        return self.vision

    @property
    def encoders(self) -> tuple[nn.Module, nn.Module]:
        """What was there before the model: all but the projections, which start from nothing."""
        return self.vision, self.text.encoder

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def embed_queries(self, tokens: TextTokens) -> Tensor:
        """Token embeddings of a padded batch of tokenized queries: float32 ``[queries, tokens, dim]``."""
        return self.text.embed_queries(tokens)

    def embed_images(self, pixel_values: Tensor) -> Tensor:
        """Patch embeddings: float32 ``[images, patches, dim]``, of unit length.

        Raises:
            InputError: for tensors of another size than the encoder reads, or an encoder that merges patches.
        """
        wanted = [3, self.image_size, self.image_size]
        if list(pixel_values.shape[1:]) != wanted:
            raise InputError(
                f"pixel_values {list(pixel_values.shape)}: expected {['images', *wanted]}; resize the images"
            )
        hidden = self.vision(pixel_values=pixel_values).last_hidden_state
        if hidden.shape[1] < self.patches:
            raise InputError(
                f"{type(self.vision).__name__} gives {hidden.shape[1]} states for {self.patches} patches: choose an "
                "encoder with a state for every patch (ViT, SigLIP, DINOv2, CLIP), not one that merges them (Swin)"
            )
        # Encoders with a class token (and registers) put it before the patches.
        embeddings = self.projection(hidden[:, -self.patches :])
        width = self.text.dim
        return embeddings if width == self.projection.dim else unit(embeddings[..., :width], dim=-1)

    def embed_documents(self, pixel_values: Tensor) -> Tensor:
        """:meth:`embed_images`, by the name that :class:`rankgrad.training.SplitModel` has for it."""
        return self.embed_images(pixel_values)

    def compare(self, queries: Tensor, query_mask: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Score every embedded query with the images of every group of (embeddings, mask): the columns, in order."""
        temperature = self.temperature if self.training else None
        columns = [maxsim(queries, each, query_mask, mask, temperature=temperature) for each, mask in groups]
        return torch.cat(columns, dim=-1)

    def forward(self, features: ImageFeatures) -> Tensor:
        """Score the images of a batch."""
        images = self.embed_images(features.pixel_values)
        every_patch = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        queries = self.embed_queries(features.queries)
        scores = self.compare(queries, features.queries.scored, [(images, every_patch)])
        return scores if features.slots is None else scores.gather(1, features.slots)

    def encode_queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode query texts, as :meth:`rankgrad.models.ColBERT.encode_queries`."""
        return self.text.encode_queries(texts)

    def encode_images(
        self,
        images: Tensor | Sequence[str | Path | Image],
        *,
        batch_size: int = 8,
        pool_factor: int = 1,
        pooling: Pooling = "hierarchical",
    ) -> PackedTokens:
        """Encode images; the embeddings carry a gradient in training mode alone.

        Args:
            images: ``[images, 3, height, width]`` ready for the encoder, or paths, or PIL images.
            batch_size: images encoded together.
            pool_factor, pooling: see :func:`rankgrad.modules.pool_tokens`; 1 = every patch is kept.

        Raises:
            FileNotFoundError: for a path where nothing is.
            InputError: for paths or PIL images without an image processor, no images, a wrong size, a file that cannot
                be read, or an encoder that merges patches.
        """
        if not len(images):
            raise InputError("no image given: pass at least one")
        rows = []
        with torch.set_grad_enabled(learns(self)):
            for start in range(0, len(images), batch_size):
                batch = images[start : start + batch_size]
                pixels = batch if isinstance(batch, Tensor) else self.tokenizer.images(batch)
                rows.append(self.embed_images(pixels.to(self.device)))
        embeddings = torch.cat(rows)
        offsets = torch.arange(len(embeddings) + 1, dtype=torch.int32, device=self.device) * self.patches
        packed = PackedTokens(embeddings.flatten(0, 1), offsets)
        return pool_tokens(packed, factor=pool_factor, method=pooling, protected=0)

    def encode_documents(self, texts: Sequence[str], *, batch_size: int = 8) -> PackedTokens:
        """Encode image files: what the stages (:class:`rankgrad.rerank.LateInteractionReranker`) call.

        Args:
            texts: paths; a stage calls whatever it ranks texts.
            batch_size: images encoded together.

        Raises:
            FileNotFoundError, InputError: as :meth:`encode_images`.
        """
        return self.encode_images(texts, batch_size=batch_size)

    def score(self, queries: Sequence[str], images: PackedTokens) -> Tensor:
        """MaxSim of every query with every encoded image: float32 ``[queries, images]``."""
        embeddings, mask = self.encode_queries(queries)
        return maxsim(embeddings, images.embeddings, mask, document_cu_seqlens=images.cu_seqlens)
