"""An encoder on disk: the same one comes back, or a sentence says why not."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.encoders import Encoder, saved
from lookalike.errors import EncoderError
from tests.pictures import COLORS, draw

MakeEncoder = Callable[..., Encoder]
PICTURES = [draw(label) for label in COLORS]


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("test_efficientnet", {"fit": "pad"}),
        ("test_resnet", {"pooling": "catavgmax"}),
        ("vit_tiny_patch16_224", {"image_size": 64, "pooling": "token"}),
    ],
)
def test_the_same_encoder_comes_back(
    make_encoder: MakeEncoder, backbone: str, options: dict[str, Any], tmp_path: Path
) -> None:
    encoder = make_encoder(backbone=backbone, **options)
    folder = encoder.save(tmp_path / "deep" / "encoder")
    again = Encoder.load(folder)
    assert again.fingerprint == encoder.fingerprint
    assert (again.config, again.preprocessing) == (encoder.config, encoder.preprocessing)
    assert np.array_equal(again.embed(PICTURES), encoder.embed(PICTURES))
    assert not again.training
    assert sorted(path.name for path in folder.iterdir()) == ["encoder.json", "weights.safetensors"]


def test_it_is_found_in_a_run_directory_and_from_inside(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder.save(tmp_path / "run" / "encoder")
    assert Encoder.load(tmp_path / "run").fingerprint == encoder.fingerprint
    monkeypatch.chdir(tmp_path / "run" / "encoder")
    assert Encoder.load(".").fingerprint == encoder.fingerprint
    encoder.save(".")
    assert Encoder.load(tmp_path / "run").fingerprint == encoder.fingerprint


def test_saving_replaces_what_was_there(make_encoder: MakeEncoder, tmp_path: Path) -> None:
    make_encoder(seed=1).save(tmp_path / "e")
    (tmp_path / "e" / "old.txt").touch()
    second = make_encoder(seed=2)
    second.save(tmp_path / "e")
    assert Encoder.load(tmp_path / "e").fingerprint == second.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    assert not (tmp_path / "e" / "old.txt").exists()


@pytest.mark.parametrize("crash_at", ["write", "first rename", "second rename", "clean-up"])
def test_a_kill_at_any_point_leaves_the_old_or_the_new_one(
    make_encoder: MakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: str
) -> None:
    class Killed(BaseException):
        pass

    old, new = make_encoder(seed=1), make_encoder(seed=2)
    run = tmp_path / "run"
    old.save(run / "encoder")
    with monkeypatch.context() as patch:
        calls = {"rename": 0, "rmtree": 0}
        rename, rmtree = Path.rename, shutil.rmtree

        def crash(*args: object, **options: object) -> None:
            raise Killed

        def renamed(path: Path, target: Path) -> Path:
            calls["rename"] += 1
            if crash_at == ("first rename", "second rename", "")[calls["rename"] - 1]:
                # A killed process does not clean up after itself either.
                patch.setattr(shutil, "rmtree", crash)
                raise Killed
            return rename(path, target)

        def removed(path: Path, **options: Any) -> None:
            calls["rmtree"] += 1
            if crash_at == "clean-up" and calls["rename"] == 2:
                raise Killed
            rmtree(path, **options)

        patch.setattr(Path, "rename", renamed)
        patch.setattr(shutil, "rmtree", removed)
        if crash_at == "write":
            patch.setattr(saved, "write_text", crash)
            patch.setattr(saved, "_replace", crash)
        with pytest.raises(Killed):
            new.save(run / "encoder")
    expected = new if crash_at == "clean-up" else old
    assert Encoder.load(run).fingerprint == expected.fingerprint
    assert Encoder.load(run / "encoder").fingerprint == expected.fingerprint
    new.save(run / "encoder")
    assert Encoder.load(run).fingerprint == new.fingerprint
    assert [path.name for path in run.iterdir()] == ["encoder"]  # nothing is left of the killed call


def test_random_damage_to_the_weights_is_found(encoder: Encoder, tmp_path: Path) -> None:
    folder, rng = encoder.save(tmp_path / "e"), random.Random(5)
    whole = (folder / saved.WEIGHTS).read_bytes()
    for number in range(150):
        damaged = bytearray(whole)
        # Half of them in the head of the file, where names, types and offsets stand.
        damaged[rng.randrange(len(whole) if number % 2 else 4000)] ^= 1 << rng.randrange(8)
        (folder / saved.WEIGHTS).write_bytes(damaged)
        with pytest.raises(EncoderError, match=r"weights.safetensors is damaged \(its checksum is wrong\); restore it"):
            Encoder.load(folder)
    for cut in (0, 7, 100, len(whole) - 1):
        (folder / saved.WEIGHTS).write_bytes(whole[:cut])
        with pytest.raises(EncoderError, match="damaged"):
            Encoder.load(folder)


# A flipped letter of a model's name may name a model that timm has renamed, of which it warns.
@pytest.mark.filterwarnings("ignore")
def test_random_damage_to_the_json_is_found_or_changes_nothing(encoder: Encoder, tmp_path: Path) -> None:
    folder, rng = encoder.save(tmp_path / "e"), random.Random(6)
    whole = (folder / saved.CONFIG).read_bytes()
    expected, found = encoder.fingerprint, 0
    for number in range(200):
        damaged = bytearray(whole)
        place = rng.randrange(len(whole))
        damaged[place] = rng.choice(b"0123456789") if number % 2 else damaged[place] ^ 1 << rng.randrange(8)
        (folder / saved.CONFIG).write_bytes(damaged)
        try:
            again = Encoder.load(folder)
        except EncoderError as error:
            assert str(error)
            found += 1
        else:
            assert again.fingerprint == expected
            assert again.preprocessing == encoder.preprocessing
    assert found > 100


def test_a_digit_of_the_json_changed_is_found(encoder: Encoder, tmp_path: Path) -> None:
    folder = encoder.save(tmp_path / "e")
    config = json.loads((folder / saved.CONFIG).read_text())
    config["preprocessing"]["mean"][0] += 0.001
    (folder / saved.CONFIG).write_text(json.dumps(config))
    with pytest.raises(EncoderError, match=r"encoder.json is damaged \(its fingerprint is wrong\)"):
        Encoder.load(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", r"encoder.json is damaged \(it names no format\)"),
        ("{}", r"encoder.json is damaged \(it names no format\)"),
        ('{"format": 2}', "has format 2; this version reads 1"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_other_json(encoder: Encoder, tmp_path: Path, content: str | bytes, sentence: str) -> None:
    folder = encoder.save(tmp_path / "e")
    (folder / saved.CONFIG).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(EncoderError, match=sentence):
        Encoder.load(folder)


def test_what_is_missing_is_named(encoder: Encoder, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path, Path("/")):
        with pytest.raises(EncoderError, match=r"no encoder in .*\(no encoder.json\); give a run directory or an enc"):
            Encoder.load(folder)
    folder = encoder.save(tmp_path / "e")
    (folder / saved.WEIGHTS).unlink()
    with pytest.raises(EncoderError, match=r"cannot be read: .*weights.safetensors"):
        Encoder.load(folder)


def test_settings_that_do_not_fit_the_weights(encoder: Encoder, tmp_path: Path) -> None:
    folder = encoder.save(tmp_path / "e")
    whole = json.loads((folder / saved.CONFIG).read_text())
    for change in ({"dim": 9}, {"dim": -1}, {"backbone": None}, {"preprocessing": "x"}, {"fingerprint": None}):
        (folder / saved.CONFIG).write_text(json.dumps(whole | change))
        with pytest.raises(EncoderError, match="damaged"):
            Encoder.load(folder)
