"""kill -9 while an encoder is saved over another: one of the two is there, whole."""

import subprocess
import sys
from pathlib import Path

KILLS = 40

# One process imports torch once and forks a writer for each kill; no thread has started by then.
DRIVER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from lookalike.encoders.saved import load, save

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
states = [{"w": torch.full((200_000,), float(number))} for number in range(2)]
save(folder, {"number": 0}, states[0])
rng, found = random.Random(0), []
for _ in range(kills):
    writer = os.fork()
    if writer == 0:
        while True:
            for number in range(2):
                save(folder, {"number": number}, states[number])
    time.sleep(rng.uniform(0.001, 0.06))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    config, state = load(folder)
    assert torch.equal(state["w"], states[config["number"]]["w"]), config
    found.append(config["number"])
save(folder, {"number": 0}, states[0])
print(len(found), *sorted(set(found)), *sorted(os.listdir(folder.parent)))
"""


def test_a_killed_save_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, str(tmp_path / "encoder"), str(KILLS)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    # All kills survived, both encoders were met, and the next save swept what the killed ones left.
    assert result.stdout.split() == [str(KILLS), "0", "1", "encoder"]
