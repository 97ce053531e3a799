import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike import Encoder
from lookalike.encoders.calibration import Calibration, expected_calibration_error
from lookalike.errors import EncoderError


def pool_adjacent_violators(scores: list[float], right: list[bool]) -> list[float]:
    """The growing values nearest to the truths, pair by pair; equal scores are one."""
    blocks: list[list[float]] = []  # sum, count
    for score in sorted(set(scores)):
        hits = [hit for s, hit in zip(scores, right, strict=True) if s == score]
        blocks.append([sum(hits), len(hits), 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return [total / count for total, count, distinct in blocks for _ in range(int(distinct))]


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=2, max_size=30))
def test_it_is_what_pooling_gives(pairs: list[tuple[int, bool]]) -> None:
    scores, right = [score / 10 for score, _ in pairs], [hit for _, hit in pairs]
    if all(right) or not any(right):
        with pytest.raises(EncoderError, match="needs matches that are right and matches that are wrong"):
            Calibration.fit(np.array(scores), np.array(right))
        return
    found = Calibration.fit(np.array(scores), np.array(right))
    least = 1 / (len(pairs) + 2)
    expected = np.clip(pool_adjacent_violators(scores, right), least, 1 - least)
    assert [found.probability(score) for score in sorted(set(scores))] == pytest.approx(expected)
    said = [found.probability(score) for score in np.linspace(-1, 1, 50)]
    assert said == sorted(said)
    assert 0 < said[0] <= said[-1] < 1


def test_it_tells_the_truth_of_what_it_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, 40_000)
    right = rng.uniform(size=40_000) < scores**2
    found = Calibration.fit(scores[:20_000], right[:20_000])
    assert [found.probability(score) for score in (0.3, 0.6, 0.9)] == pytest.approx([0.09, 0.36, 0.81], abs=0.05)
    said = np.array([found.probability(score) for score in scores[20_000:]])
    assert expected_calibration_error(said, right[20_000:]) < 0.02
    assert expected_calibration_error(scores[20_000:], right[20_000:]) > 0.1  # a similarity is no probability


def test_expected_calibration_error_by_hand() -> None:
    # Two bins: 0.2 and 0.4 said, none right: 0.3 off; 0.9 and 1.0 said, one right: 0.45 off.
    assert expected_calibration_error([0.2, 0.4, 0.9, 1.0], [0, 0, 1, 0], bins=2) == pytest.approx(0.375)  # type: ignore[arg-type]


def test_it_is_saved_with_the_encoder_and_no_part_of_its_fingerprint(tmp_path: Path) -> None:
    encoder = Encoder.create("test_resnet", dim=8, pretrained=False, image_size=32)
    encoder.save(tmp_path / "without")
    assert Encoder.load(tmp_path / "without").calibration is None
    encoder.calibration = Calibration((0.1, 0.9), (0.2, 0.8), 100)
    encoder.save(tmp_path / "with")
    loaded = Encoder.load(tmp_path / "with")
    assert loaded.calibration == encoder.calibration
    assert loaded.fingerprint == Encoder.load(tmp_path / "without").fingerprint
    file = tmp_path / "with" / "encoder.json"
    file.write_text(file.read_text().replace("0.8", "0.1"))
    with pytest.raises(EncoderError, match=r"encoder.json is damaged \(its calibration does not grow from 0 to 1\)"):
        Encoder.load(tmp_path / "with")


@pytest.mark.parametrize(
    "content",
    [None, {}, {"scores": [], "probabilities": [], "pairs": 1}, {"scores": [1, 0], "probabilities": [0, 1], "pairs": 1},
     {"scores": [0, 1], "probabilities": [0, 2], "pairs": 1}, {"scores": ["a"], "probabilities": [0], "pairs": 1},
     {"scores": [0], "probabilities": [float("nan")], "pairs": 1}],
)  # fmt: skip
def test_a_damaged_one(content: object) -> None:
    with pytest.raises(EncoderError, match=r"e\.json is damaged"):
        Calibration.from_dict(content, Path("e.json"))


def test_json_round_trip() -> None:
    found = Calibration.fit(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, True, False, True]))
    assert Calibration.from_dict(json.loads(json.dumps(asdict(found))), Path("e.json")) == found
