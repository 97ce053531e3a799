"""The loss of several processes is that of one, whether the proxies are shared out or not."""

import json

import pytest

from tests.losses.cases import DIM
from tests.losses.in_processes import ALL, MANY, MODES, PROCESSES
from tests.processes import in_processes

#: By the beginning of the name: without proxies of ours, or with lines, which stay in one place.
WHOLE = ("triplet", "adaptive_triplet", "pml", "density_aware_line", "many, lines", "many, composed, lines")
#: With lines too.
WHOLE_ITSELF = ("composed", "composed, polylines, similar")

Found = list[dict[str, dict[str, float]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("found")
    in_processes("tests.losses.in_processes:compare", PROCESSES, folder)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(PROCESSES)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ALL)
def test_loss_and_gradients_are_those_of_one_process(found: Found, name: str, mode: str) -> None:
    expected = mode == "shared out" and not (name.startswith(WHOLE) or name in WHOLE_ITSELF)
    for of_rank in found:
        for size in MODES[mode][1]:
            differences = dict(of_rank[f"{name}; {mode}; {size}"])
            assert differences.pop("shared") == expected
            largest = differences.pop("largest")
            if expected and name.startswith("many"):  # not even as much as the proxies, nor the batch times the classes
                assert largest < MANY * DIM
            assert {what: far for what, far in differences.items() if not far < 1e-10} == {}
            assert {"norm", "gradient 0.weight"} <= differences.keys()
