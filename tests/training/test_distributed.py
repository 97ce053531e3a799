"""Several processes train as one does; and when one is killed the others end, and the run can go on."""

import json
from itertools import chain

import pytest
import torch

from lookalike.errors import TrainingError
from lookalike.losses import NormalizedSoftmaxLoss
from lookalike.losses.sharded import piece
from lookalike.training.distributed import (
    add_up_gradients,
    check_one_process,
    first_then_all,
    from_first,
    gathered,
    joined,
    local_device,
    own_random_numbers,
    rank,
    world,
)
from lookalike.training.shards import share_out
from tests.processes import in_processes
from tests.training.in_processes import SETTINGS


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("found")
    in_processes("tests.training.in_processes:go_on_elsewhere", 3, folder, killed=1)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_two_then_one_then_three_then_two_processes_end_where_one_does(found: list[dict]) -> None:
    off = found[0]["off"]
    assert {"backbone.conv1.0.weight", "head.linear.weight", "loss.parts.anchor.proxies.weight"} <= off.keys()
    assert max(off.values()) < 0.005  # of the way from the start


def test_when_one_is_killed_the_others_end_with_a_sentence(found: list[dict]) -> None:
    for of_rank in found:
        assert of_rank["said"].startswith("another process of this run has ended")
        assert "goes on from its last checkpoint" in of_rank["said"]
        assert of_rank["seconds"] < 60  # with all the steps before


def test_what_the_first_process_makes_all_have(found: list[dict]) -> None:
    for of_rank in found:
        assert of_rank["world"] == 3
        assert of_rank["got"] == "of 0"
        assert of_rank["refusal"] == "refused by 0"
        assert of_rank["order"] == ["made"]


def test_what_an_encoder_draws_is_each_process_its_own_and_the_stream_is_common(found: list[dict]) -> None:
    inside, after = zip(*(of_rank["drawn"] for of_rank in found), strict=True)
    assert len({tuple(one) for one in inside}) == 2
    assert after[0] == after[1]


def test_a_number_that_is_not_finite_in_one_part_skips_the_step_in_all(found: list[dict]) -> None:
    assert [of_rank["finite"] for of_rank in found] == [[True, True], [True, True]]
    assert [of_rank["not_finite"] for of_rank in found] == [[False, False], [False, False]]


def test_one_process_alone_has_nothing_to_do() -> None:
    x, loss = torch.ones(3, 2), NormalizedSoftmaxLoss(5, 2)
    with joined():
        assert (rank(), world()) == (0, 1)
        assert gathered(x, 3) is x
        assert from_first(lambda: 1) == first_then_all(lambda: 1) == 1
        share_out(loss, above=0)
        add_up_gradients([x], loss)
        with own_random_numbers(0, x.device):
            drawn = torch.rand(1)
    assert loss.proxies.shard is None
    assert torch.rand(1) != drawn
    assert local_device("cpu") == torch.device("cpu")
    check_one_process(torch.nn.BatchNorm1d(2))


@pytest.mark.parametrize(("total", "count"), [(11, 3), (3, 3), (2, 3), (0, 2), (8, 1)])
def test_pieces_are_in_order_and_nearly_equal(total: int, count: int) -> None:
    rows = [list(range(total))[piece(total, number, count)] for number in range(count)]
    assert [*chain(*rows)] == list(range(total))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_devices_that_cannot_work_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.training.distributed.world", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(
        TrainingError, match="process 1 of this machine has no GPU: start torchrun with --nproc-per-node 1"
    ):
        local_device("cuda")
    with pytest.raises(TrainingError, match="'mps' is for one process"):
        local_device("mps")
    with pytest.raises(TrainingError, match="freeze_batchnorm = false"):
        check_one_process(torch.nn.BatchNorm1d(2))
    assert SETTINGS.shard_proxies_above < 7  # else the runs above share nothing out
