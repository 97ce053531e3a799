"""Read MATLAB files in a process of their own: on some damaged ones scipy's reader ends in a segmentation fault."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lookalike.errors import CatalogError

#: Run in the other process: the path and the wanted variables come as arguments, their entries go out as JSON. A
#: variable is wanted whole, as texts, or by some fields of each entry.
READER = """
import json, sys
from scipy.io import loadmat
path, wanted = sys.argv[1], json.loads(sys.argv[2])
found = loadmat(path, squeeze_me=True, variable_names=list(wanted))
missing = sorted(set(wanted) - set(found))
if missing:
    sys.exit("it has no " + missing[0])
print(json.dumps({
    name: [[str(entry[field]) for field in fields] if fields else str(entry) for entry in found[name].reshape(-1)]
    for name, fields in wanted.items()
}))
"""


def read_matlab(path: Path, wanted: dict[str, list[str]]) -> dict[str, Any]:
    """The variables wanted, each as a list: of texts, or, where fields are named, of the texts in these.

    Raises:
        CatalogError: it is no MATLAB file, or lacks one of them.
    """
    command = [sys.executable, "-c", READER, str(path), json.dumps(wanted)]
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        reason = "its reader crashed" if done.returncode < 0 else (done.stderr.strip().splitlines() or ["?"])[-1]
        raise CatalogError(f"{path} is not the MATLAB file of Cars196 ({reason}); download it again")
    content: dict[str, Any] = json.loads(done.stdout)
    return content
