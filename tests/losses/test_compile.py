"""torch.compile reads each loss as one graph, and the value and the gradient are those of the loss as it is."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tests.losses.cases import CASES
from tests.losses.contract import batch

#: Which classes are in the batch decides on the size of what follows: torch reads these in several graphs.
BROKEN_BY_CLASSES = ("density_aware_line", "composed")
WHOLE = (
    "triplet",
    "triplet, all, valid",
    "adaptive_triplet",
    "normalized_softmax",
    "normalized_softmax, chunks",
    "adaptive_additive_softmax",
    "proxy_anchor",
    "soft_orthogonal_proxy_anchor",
)


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
@pytest.mark.parametrize("name", [*WHOLE, *BROKEN_BY_CLASSES])
def test_compiled_is_the_same(name: str) -> None:
    loss, (x, y) = CASES[name].make().eval(), batch()
    torch._dynamo.reset()
    graphs = CompileCounter()
    compiled = torch.compile(loss, backend=graphs, fullgraph=name in WHOLE)
    found = [torch.autograd.grad(one(x.requires_grad_(), y), [x, *loss.parameters()]) for one in (loss, compiled)]
    for eager, other in zip(*found, strict=True):
        torch.testing.assert_close(eager, other, atol=1e-12, rtol=1e-9)
    assert compiled(x, y).item() == pytest.approx(loss(x, y).item(), rel=1e-12)
    assert graphs.frame_count == 1 or name in BROKEN_BY_CLASSES
