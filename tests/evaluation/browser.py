"""A real browser without a window, told what to do through its debugging pipe: no driver, no port, no network."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
]


class Browser:
    """One page of Chromium; a context manager.

    Attributes:
        problems: what its console complained of, errors of scripts and breaches of the page's policy included.
    """

    def __init__(self, folder: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # The browser reads from 3 and writes to 4; plain sh may not know descriptors above 9.
        options = ["--remote-debugging-pipe", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec "$0" "$@" 3<&{commands} 4>&{answers}',
                str(CHROMIUM),
                *FLAGS,
                *options,
                "about:blank",
            ],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self.problems: list[str] = []
        self._asked: dict[str, str] = {}
        self._buffer, self._number, self._session, self._loaded = b"", 0, "", False
        targets = self("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for room in ("Page", "Runtime", "Log", "Network"):
            self(f"{room}.enable")

    @property
    def requests(self) -> list[str]:
        """The URLs the page asked for, but those that carry their own data or were stopped by its policy."""
        return list(self._asked.values())

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def __call__(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": command, "params": arguments}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{command}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def open(self, path: Path, width: int = 1200, height: int = 900, scheme: str = "light") -> None:
        """Open a file, as on a screen of this size (below 500 px: a phone), and wait until it is drawn."""
        phone = width < 500
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.problems.clear()
        self._asked.clear()
        self._loaded = False
        self("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._note(self._next())
        # Two frames: charts and the map are drawn once they know their width.
        self.run(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100))))"
        )

    def run(self, script: str) -> Any:
        """The value of a script, waited for if it is a promise."""
        result = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a script is true, at most a minute."""
        wait = f"until(() => {condition})"
        until = (
            "const until = async (met) => { for (let turn = 0; turn < 1200; turn++) { if (met()) return true;"
            " await new Promise((done) => setTimeout(done, 50)); } return false; };"
        )
        assert self.run(f"(async () => {{ {until} return {wait}; }})()"), f"waited in vain for {condition}"

    def click(self, x: float, y: float) -> None:
        """Press and let go at a point of the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key; a single character is also typed."""
        number = {"Enter": 13, "Escape": 27}.get(key, 0)
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=number, **text)
        self("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=number)

    def screenshot(self, path: Path | None = None, whole: bool = False) -> bytes:
        """What is to be seen, or the whole page, as PNG."""
        taken = base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=whole)["data"])
        if path is not None:
            path.write_bytes(taken)
        return taken

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._answers, 2**20)
            assert read, "the browser went away"
            self._buffer += read
        message, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        if event.get("method") == "Page.loadEventFired":
            self._loaded = True
        elif event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(about["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.problems.append(about["entry"]["text"])
        elif event.get("method") == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.problems.append(str(about["args"]))
        elif event.get("method") == "Network.requestWillBeSent" and not about["request"]["url"].startswith("data:"):
            self._asked[about["requestId"]] = about["request"]["url"]
        elif event.get("method") == "Network.loadingFailed" and about.get("blockedReason") == "csp":
            del self._asked[about["requestId"]]
