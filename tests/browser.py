"""A real Chromium without a screen, driven over a pipe by its DevTools protocol. Standard library only.

Everything that it asked for, every error of a script and every breach of a page's policy is kept, so a test can say
that there was none. Waits are bounded. Where there is no Chromium the tests that need it are skipped, which CI takes as
a failure.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # DevTools messages are JSON of any shape, and only looked into here

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
# Where an element comes to rest: what was off the screen is laid out only now, and may push it away once more.
SPOT = """
(async () => {
  const found = document.querySelector(%s);
  for (let turn = 0; turn < 3; turn += 1) {
    found.scrollIntoView({ block: "center" });
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }
  const box = found.getClientRects()[0];
  return [box.x + box.width / 2, box.y + box.height / 2];
})()
"""
ANSWER_S = 60.0
POLL_S = 0.05
CHUNK = 1 << 20
DESKTOP, PHONE = (1280, 900), (360, 740)


class Browser:
    """One tab, which each page takes in turn. `open` forgets what earlier pages asked for."""

    def __init__(self, program: str, folder: Path) -> None:
        told, heard = os.pipe(), os.pipe()

        def wire() -> None:  # the protocol lives on descriptors 3 and 4
            ours, theirs = os.dup(told[0]), os.dup(heard[1])
            os.dup2(ours, 3)
            os.dup2(theirs, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            start_new_session=True,
            preexec_fn=wire,
        )
        os.close(told[0])
        os.close(heard[1])
        self._out, self._in = told[1], heard[0]
        self._held = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        (target,) = (item for item in self.ask("Target.getTargets")["targetInfos"] if item["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """The answer to one command; what happens meanwhile goes to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + ANSWER_S
        while True:
            answer = self._next(until)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, page: Path, *, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> float:
        """Seconds until it was loaded."""
        width, height = size
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=size == PHONE
        )
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url="about:blank")
        self.events.clear()
        started = time.monotonic()
        self.ask("Page.navigate", url=page.as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")
        return time.monotonic() - started

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        until = time.monotonic() + ANSWER_S
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < until, f"never true: {script}"
            time.sleep(POLL_S)

    def click(self, selector: str) -> None:
        """As a finger does it, in the middle of the first box of the element."""
        spot = self.run(SPOT % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=spot[0], y=spot[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key, "")
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=codes[key], text=text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes[key])

    def type(self, words: str) -> None:
        self.ask("Input.insertText", text=words)

    def shot(self, path: Path, *, is_whole: bool = True) -> None:
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def asked_for(self) -> list[str]:
        """Every address that the page made the browser load."""
        requests = (event for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in requests]

    def complaints(self) -> list[str]:
        """Errors of scripts, breaches of the policy, and what the browser logs of its own."""
        told = []
        for event in self.events:
            match event["method"]:
                case "Runtime.exceptionThrown":
                    told.append(str(event["params"]["exceptionDetails"].get("exception", {}).get("description")))
                case "Log.entryAdded" if event["params"]["entry"]["level"] in ("error", "warning"):
                    told.append(event["params"]["entry"]["text"])
                case "Page.javascriptDialogOpening":
                    told.append("a dialog opened")
        return told

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(self._in, CHUNK) if ready else b""
            assert chunk, "Chromium does not answer"
            self._held += chunk
        line, _, self._held = self._held.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


def program() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = program()
    if found is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        opened = Browser(found, Path(folder))
        try:
            yield opened
        finally:
            opened.close()
