"""Several processes of torch.distributed for tests: forked from a fresh one that has loaded torch, which takes long."""

import importlib
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

#: Seconds that all of it may take.
LONGEST = 240
#: How often they can be connected.
TURNS = 4


def in_processes(function: str, count: int, folder: Path, killed: int = 0) -> None:
    """Call `module:function` with the folder in so many processes at a time; what they find out lies in the folder.

    All must end well but those that are killed.
    """
    command = [sys.executable, "-W", "error", "-m", "tests.processes", function, str(count), str(folder), str(killed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST + 60)
    assert done.returncode == 0, done.stderr


def as_one_of(world: int, turn: int = 0) -> None:
    """Put into the environment what torchrun would, for the first `world` of the processes; in each turn once."""
    of_all = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": os.environ["PORTS"].split()[turn]}
    os.environ |= of_all


def _free_ports() -> str:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(TURNS)]
    ports = [str(server.getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
    return " ".join(ports)


def _fork(function: Callable[[Path], None], rank: int, folder: Path) -> int:
    process = os.fork()
    if process:
        return process
    try:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        function(folder)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _main(name: str, count: int, folder: Path, killed: int) -> int:
    module, function = name.split(":")
    call, until = getattr(importlib.import_module(module), function), time.monotonic() + LONGEST
    os.environ["PORTS"] = _free_ports()
    running, failed = {_fork(call, rank, folder) for rank in range(count)}, 0
    while running:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process:
            running.remove(process)
            failed += status != 0
        elif time.monotonic() > until or failed > killed:
            for process in running:
                os.kill(process, 9)
        else:
            time.sleep(0.02)
    return int(failed != killed)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
