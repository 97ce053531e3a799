"""What a bent margin of adaptive additive softmax costs beside a linear one: CPU time of a step, one thread.

python benchmarks/curves.py
"""

import time

import torch

from lookalike.losses import AdaptiveAdditiveSoftmaxLoss

ROUNDS = 15
#: Classes, batch, dim, side_dim.
CELLS = ((1_000, 128, 512, 64), (11_318, 128, 512, 64), (11_318, 1024, 128, 512))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| classes | batch | D | T | linear, ms | square, ms | square / linear |")
    print("|---|---|---|---|---|---|---|")
    for classes, batch, dim, side_dim in CELLS:
        x, y = torch.randn(batch, dim, requires_grad=True), torch.randint(0, classes, (batch,))
        text = torch.randn(classes, side_dim)
        times: dict[str, list[float]] = {"linear": [], "square": []}
        losses = {curve: AdaptiveAdditiveSoftmaxLoss(classes, dim, text, curve=curve) for curve in times}
        for _ in range(ROUNDS):  # in turns, so that what else the machine does meets both
            for curve, loss in losses.items():
                begun = time.process_time()
                loss(x, y).backward()
                times[curve].append(1e3 * (time.process_time() - begun))
        linear, square = (sorted(times[curve])[ROUNDS // 2] for curve in ("linear", "square"))
        print(f"| {classes:,} | {batch:,} | {dim} | {side_dim} | {linear:.1f} | {square:.1f} | {square / linear:.2f} |")


if __name__ == "__main__":
    main()
