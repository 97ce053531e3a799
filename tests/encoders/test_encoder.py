"""Pictures to unit vectors, the same ones whatever way a picture comes in."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from lookalike.catalog import Catalog
from lookalike.encoders import Encoder, embed_catalog
from lookalike.errors import EncoderError, ImageError
from tests.encoders.conftest import cosines
from tests.pictures import COLORS, STORED, draw, encoded, stored_as

MakeEncoder = Callable[..., Encoder]
PICTURES = [draw(label, number) for label in COLORS for number in range(3)]


def test_rows_are_unit_vectors_that_tell_pictures_apart(encoder: Encoder) -> None:
    vectors = encoder.embed(PICTURES)
    assert (vectors.shape, vectors.dtype) == ((12, 8), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    between = (vectors @ vectors.T)[~np.eye(12, dtype=bool)]
    assert between.max() < 0.99  # so that the tests of equal vectors can fail


def test_paths_bytes_and_opened_pictures_are_the_same(encoder: Encoder, tmp_path: Path) -> None:
    for name, options in {"PNG": {}, "JPEG": {"quality": 95}, "WEBP": {}}.items():
        file = tmp_path / f"a.{name.lower()}"
        file.write_bytes(encoded(draw("bag"), name, **options))
        opened = Image.open(io.BytesIO(file.read_bytes()))
        vectors = encoder.embed([file, str(file), file.read_bytes(), opened])
        assert np.abs(vectors - vectors[0]).max() < 1e-5


def test_the_batch_size_changes_nothing(encoder: Encoder) -> None:
    whole = encoder.embed(PICTURES)
    for batch_size in (1, 2, 5, 12, 1000):
        assert np.abs(encoder.embed(PICTURES, batch_size) - whole).max() < 1e-5


def test_no_pictures_no_rows(encoder: Encoder) -> None:
    assert encoder.embed([]).shape == (0, 8)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_every_orientation_has_the_same_vector_everywhere(encoder: Encoder, file_format: str) -> None:
    options = {"quality": 100, "subsampling": 0} if file_format == "JPEG" else {}
    # 16 x 16 px blocks, so that the turned JPEG is the same picture to the last bit.
    picture = draw("bag", size=(48, 32))
    sources = [stored_as(picture, number, file_format, **options) for number in STORED]
    vectors = encoder.embed(sources)
    catalog = Catalog(pa.table({"item_id": [str(number) for number in STORED], "image": sources}))
    assert cosines(vectors, np.repeat(vectors[:1], 8, axis=0)).min() > (0.9999 if file_format == "PNG" else 0.995)
    assert cosines(embed_catalog(encoder, catalog).embeddings, vectors).min() >= 0.9999


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_catalog_and_its_pictures_have_the_same_vectors(make_encoder: MakeEncoder, fit: str) -> None:
    encoder = make_encoder(fit=fit)
    large = [picture.resize((700, 500)) for picture in PICTURES]
    images = [encoded(picture, "JPEG") for picture in large]
    catalog = Catalog(pa.table({"item_id": [str(number) for number in range(12)], "image": images}))
    embedded = embed_catalog(encoder, catalog, batch_size=5)
    assert embedded.rows.tolist() == [*range(12)]
    assert cosines(embedded.embeddings, encoder.embed(images)).min() >= 0.9999
    reduced = [catalog.image(row, encoder.preprocessing.image_size) for row in range(12)]
    assert cosines(embedded.embeddings, encoder.embed(reduced)).min() >= 0.9999  # as the index sees them


def test_training_mode_neither_matters_nor_is_lost(encoder: Encoder) -> None:
    expected = encoder.embed(PICTURES)
    before = encoder.fingerprint
    encoder.train()
    assert np.array_equal(encoder.embed(PICTURES), expected)
    assert encoder.training
    assert encoder.fingerprint == before  # no running mean has moved


def test_each_part_stays_in_its_mode(encoder: Encoder) -> None:
    encoder.train()
    encoder.backbone.eval()  # as where it stands still and the head learns
    modes = [part.training for part in encoder.modules()]
    catalog = Catalog(pa.table({"item_id": ["a"], "image": [encoded(PICTURES[0])]}))
    for embed in (lambda: encoder.embed(PICTURES), lambda: embed_catalog(encoder, catalog)):
        embed()
        assert [part.training for part in encoder.modules()] == modes
    with pytest.raises(ImageError):
        encoder.embed([b"no picture"])
    assert [part.training for part in encoder.modules()] == modes


def test_wrong_arguments_are_named(encoder: Encoder) -> None:
    with pytest.raises(EncoderError, match="batch_size must be at least 1, not 0"):
        encoder.embed(PICTURES, 0)
    with pytest.raises(ImageError, match="not a picture we can read"):
        encoder.embed([PICTURES[0], b"hello"])
    for dim in (0, -3):
        with pytest.raises(EncoderError, match=f"dim must be at least 1, not {dim}"):
            Encoder.create("test_efficientnet", dim, pretrained=False)
    with pytest.raises(EncoderError, match="fit must be one of"):
        Encoder.create("test_efficientnet", pretrained=False, fit="bend")  # type: ignore[arg-type]


def test_what_it_says_of_itself(encoder: Encoder) -> None:
    assert encoder.describe() == "test_efficientnet, 32 px, 8-d"
    assert (encoder.dim, encoder.feature_dim, encoder.device) == (8, 256, torch.device("cpu"))
    assert Encoder.create("test_efficientnet", pretrained=False).preprocessing.image_size == 160


def test_the_fingerprint_covers_everything_that_decides_a_vector(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder()
    assert encoder.fingerprint == make_encoder().fingerprint
    others = [make_encoder(seed=1), make_encoder(fit="pad"), make_encoder(image_size=40), make_encoder(pooling="max")]
    assert len({encoder.fingerprint, *(other.fingerprint for other in others)}) == 5
    before = encoder.backbone_fingerprint
    with torch.no_grad():
        encoder.head.linear.bias[0] += 1e-3
    assert encoder.fingerprint != make_encoder().fingerprint
    assert encoder.backbone_fingerprint == before


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit", "test_resnet"])
def test_features_and_head_make_the_embedding(make_encoder: MakeEncoder, backbone: str) -> None:
    encoder = make_encoder(backbone=backbone)
    with torch.inference_mode():
        features = encoder.features(encoder.prepare(PICTURES)).numpy()
    assert np.abs(encoder.embed_feature_array(features) - encoder.embed(PICTURES)).max() < 1e-5
