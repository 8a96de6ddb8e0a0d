"""Image patches as document tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate
from rankgrad.models import ColBERT, ImageColBERT
from rankgrad.models.image_colbert import ImageFeatures
from rankgrad.tokens import LateInteractionRules

SIZE = {
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 8,
}


@pytest.fixture
def vision_folder(tmp_path: Path) -> Path:
    from transformers import ViTConfig, ViTModel

    ViTModel(ViTConfig(**SIZE), add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


@pytest.fixture
def model(vision_folder: Path, tiny_encoder_folder: Path, tmp_path: Path) -> ImageColBERT:
    rules = LateInteractionRules(query_length=8)
    ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16).save_pretrained(tmp_path / "text")
    return ImageColBERT.from_pretrained(vision_folder, text=tmp_path / "text")


def test_a_score_is_maxsim_over_patches(model: ImageColBERT) -> None:
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        packed = model.encode_images(images, batch_size=2)
        queries, mask = model.encode_queries(["open a file"])
        hidden = model.vision(pixel_values=images).last_hidden_state[:, 1:]  # behind the class token
        patches = torch.nn.functional.normalize(model.projection.layers(hidden), dim=-1)
        wanted = torch.stack([(queries[0][mask[0]] @ each.T).amax(1).sum() for each in patches])
        torch.testing.assert_close(model.score(["open a file"], packed)[0], wanted)
    assert packed.cu_seqlens.tolist() == [0, 4, 8, 12]
    assert model.encode_images(images, pool_factor=2).cu_seqlens.tolist() == [0, 2, 4, 6]


def test_a_step_teaches_both_sides(model: ImageColBERT) -> None:
    tokens = ListCollate(model.text.tokenizer)([CandidateList("open a file", ("x",), (1.0,))]).features.queries
    features = ImageFeatures(tokens, torch.randn(2, 3, 16, 16), torch.tensor([[1, 0]]))
    scores = model(features)
    torch.testing.assert_close(scores, model(features._replace(slots=None)).flip(1))
    scores[0, 0].backward()
    for side in (model.vision, model.projection, model.text.backbone):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in side.parameters())


def test_siglip_has_no_class_token(tiny_encoder_folder: Path) -> None:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    text = ColBERT.from_pretrained(tiny_encoder_folder, dim=16)
    model = ImageColBERT(text, SiglipVisionModel(SiglipVisionConfig(**SIZE)))
    assert model.embed_images(torch.randn(1, 3, 16, 16)).shape == (1, 4, 16)


def test_folder_and_pil_images(model: ImageColBERT, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    from transformers import ViTImageProcessor

    try:
        model.image_processor = ViTImageProcessor(size={"height": 16, "width": 16})
    except ImportError as error:
        pytest.skip(f"image processors of this transformers need more: {error}")
    model.save_pretrained(tmp_path / "model")
    again = ImageColBERT.from_pretrained(tmp_path / "model")
    pictures = [image.new("RGB", (40, 20), color) for color in ("red", "white")]
    with torch.no_grad():
        wanted = model.score(["x"], model.encode_images(pictures))
        torch.testing.assert_close(again.score(["x"], again.encode_images(pictures)), wanted)


def test_what_cannot_be_used(model: ImageColBERT, vision_folder: Path) -> None:
    with pytest.raises(InputError, match=r"expected \['images', 3, 16, 16\]"):
        model.encode_images(torch.randn(1, 3, 8, 8))
    with pytest.raises(InputError, match="no image processor"):
        model.encode_images(["picture.png"])
    with pytest.raises(InputError, match="no image given"):
        model.encode_images([])
    with pytest.raises(InputError, match="give text="):
        ImageColBERT.from_pretrained(vision_folder)
    with pytest.raises(InputError, match="no image_size"):
        ImageColBERT(model.text, model.text.backbone)
