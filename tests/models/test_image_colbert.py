"""Image patches as document tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate
from rankgrad.data.collate import ImageFeatures
from rankgrad.models import ColBERT, ImageColBERT
from rankgrad.ops import maxsim
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
    assert not model.encode_images(images).embeddings.requires_grad
    assert model.train().encode_images(images).embeddings.requires_grad


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


def test_the_images_of_a_pair_of_encoders(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    from transformers import SiglipConfig, SiglipModel

    text = {name: value for name, value in SIZE.items() if "_size" not in name} | {"hidden_size": 24, "vocab_size": 9}
    SiglipModel(SiglipConfig(text_config=text, vision_config=SIZE)).save_pretrained(tmp_path / "siglip")
    model = ImageColBERT.from_pretrained(tmp_path / "siglip", text=tiny_encoder_folder)
    images = torch.randn(1, 3, 16, 16)
    model.save_pretrained(tmp_path / "model")
    again = ImageColBERT.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        torch.testing.assert_close(again.embed_images(images), model.embed_images(images))
        states = SiglipModel.from_pretrained(tmp_path / "siglip").vision_model(pixel_values=images).last_hidden_state
        torch.testing.assert_close(model.embed_images(images), model.projection(states))


def test_folder_paths_and_pil_images(model: ImageColBERT, tiny_vision_folder: Path, write_picture, tmp_path) -> None:
    from PIL import Image

    start = ImageColBERT.from_pretrained(tiny_vision_folder, text=tmp_path / "text")
    start.save_pretrained(tmp_path / "model")
    again = ImageColBERT.from_pretrained(tmp_path / "model")
    paths = [str(write_picture(tmp_path / f"{color}.png", color, (40, 20))) for color in ("red", "white")]
    with torch.no_grad():
        wanted = start.score(["x"], start.encode_images([Image.open(path) for path in paths], batch_size=1))
        torch.testing.assert_close(again.score(["x"], again.encode_images([Path(path) for path in paths])), wanted)
        torch.testing.assert_close(again.score(["x"], again.encode_documents(paths)), wanted)
        # ViT's processor: values up to 1, mean and deviation of 0.5; red is (1, -1, -1).
        red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
        torch.testing.assert_close(again.score(["x"], again.encode_images(red)), wanted[:, :1])
    (tmp_path / "model/vision/preprocessor_config.json").write_text("{")
    with pytest.raises(InputError, match="image processor that does not load"):
        ImageColBERT.from_pretrained(tmp_path / "model")


def test_the_maximum_is_soft_in_training_alone(model: ImageColBERT) -> None:
    tokens = ListCollate(model.text.tokenizer)([CandidateList("open a file", ("x",), (1.0,))]).features.queries
    features = ImageFeatures(tokens, torch.randn(2, 3, 16, 16))
    model.temperature = 0.5
    sides = model.embed_queries(tokens), model.embed_images(features.pixel_values), tokens.scored
    torch.testing.assert_close(model(features), maxsim(*sides))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    soft = model.train()(features)
    torch.testing.assert_close(soft, maxsim(*sides, temperature=0.5))
    assert (soft > maxsim(*sides)).all()


def test_images_follow_the_texts_width(model: ImageColBERT, tmp_path: Path) -> None:
    images, truncated = torch.randn(2, 3, 16, 16), torch.nn.functional.normalize
    with torch.no_grad():
        full = model.embed_images(images)
        scores = model.score(["open a file"], model.encode_images(images))
        model.text.truncate(8)
        torch.testing.assert_close(model.embed_images(images), truncated(full[..., :8], dim=-1))
        queries, mask = model.encode_queries(["open a file"])
        expected = maxsim(queries, truncated(full[..., :8], dim=-1), mask)
        torch.testing.assert_close(model.score(["open a file"], model.encode_images(images)), expected)
        model.save_pretrained(tmp_path / "model")
        again = ImageColBERT.from_pretrained(tmp_path / "model")
        torch.testing.assert_close(again.score(["open a file"], again.encode_images(images)), expected)
        again.text.truncate(None)
        torch.testing.assert_close(again.score(["open a file"], again.encode_images(images)), scores)


def test_an_encoder_that_merges_patches(model: ImageColBERT) -> None:
    from transformers import SwinConfig, SwinModel

    sizes = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1], "window_size": 2}
    merging = ImageColBERT(model.text, SwinModel(SwinConfig(**sizes), add_pooling_layer=False))
    message = r"SwinModel gives 16 states for 64 patches: choose an encoder with a state for every patch \(ViT"
    with pytest.raises(InputError, match=message):
        merging.encode_images(torch.randn(1, 3, 32, 32))


def test_a_processor_that_cannot_be_saved(model: ImageColBERT, tmp_path: Path) -> None:
    def halves(images, return_tensors):
        return {"pixel_values": torch.full((len(images), 3, 16, 16), 0.5)}

    (tmp_path / "model").mkdir()
    model.image_processor = halves
    with pytest.raises(InputError, match=r"image_processor <function .*halves.* has no save_pretrained: set model"):
        model.save_pretrained(tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []
    model.image_processor = None
    model.save_pretrained(tmp_path / "model")


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
