"""A headless Chromium driven through its debugging protocol, for tests of pages; only where Chromium is installed."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from websockets.sync.client import ClientConnection, connect

__all__ = ["SOFTWARE_RENDERING", "Browser", "chromium_path", "green_pixels"]

SOFTWARE_RENDERING = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL where there is no GPU

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--mute-audio", "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0",
)  # fmt: skip


def chromium_path() -> str | None:
    """The program, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def green_pixels(browser: Browser, picture: Path) -> int:
    """How much of the page's canvas is green; what is drawn there has no text that could be read."""
    browser.wait("document.querySelector('canvas') !== null", 60)
    browser.screenshot(picture)
    x, y, width, height = browser.run(
        "(r => [r.x, r.y + scrollY, r.width, r.height])(document.querySelector('canvas').getBoundingClientRect())"
    )
    image = cv2.imread(str(picture)).astype(int)[int(y) : int(y + height), int(x) : int(x + width)]
    blue, green, red = image[..., 0], image[..., 1], image[..., 2]
    return int(((green > red + 60) & (green > blue + 40)).sum())


class Browser:
    """One page. ``errors`` gathers console errors, exceptions and blocked loads; ``requests`` every address asked for.

    Args:
        profile: a new folder of its own.
        width: of the viewport, CSS pixels.
        height: of the viewport.
        flags: further ones of Chromium's.
    """

    def __init__(self, profile: Path, width: int = 1280, height: int = 900, flags: Sequence[str] = ()) -> None:
        program = chromium_path()
        assert program is not None
        self._process = subprocess.Popen(
            [program, *_FLAGS, *flags, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._ids = itertools.count(1)
        self.errors: list[str] = []
        self.requests: list[str] = []
        try:
            self._socket = self._page(profile)
            for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
                self.call(f"{domain}.enable")
            self.resize(width, height)
        except BaseException:
            self._process.kill()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def resize(self, width: int, height: int) -> None:
        """Set the viewport in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def theme(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, page: Path) -> None:
        """Load a file and wait for it."""
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def visit(self, address: str) -> None:
        """Load a page of a server and wait for the document; what it fetches afterwards comes when it comes."""
        self.call("Page.navigate", url=address)
        self.wait(
            f"document.readyState === 'complete' && location.href !== 'about:blank' && {json.dumps(address)}.includes(location.host)", 120
        )

    def wait_for_text(self, *words: str, seconds: float = 60.0) -> None:
        """Until the page shows every one of ``words``."""
        end = time.monotonic() + seconds
        while missing := [word for word in words if word not in str(self.run("document.body.innerText"))]:
            assert time.monotonic() < end, f"not shown after {seconds} s: {missing}; the page says: {self.run('document.body.innerText')}"
            time.sleep(0.2)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 30.0) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"not true after {seconds} s: {condition}"
            time.sleep(0.05)

    def click(self, text: str) -> None:
        """With the mouse, on the last element that shows exactly this."""
        shows = f"one => !one.children.length && one.textContent.trim() === {json.dumps(text)} && one.checkVisibility()"
        found = f"[...document.querySelectorAll('*')].filter({shows})"
        self.wait(f"{found}.length > 0", 60)
        self.run(f"{found}.at(-1).scrollIntoView({{block: 'center'}})")
        x, y = self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({found}.at(-1).getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """One key, such as ``Tab``, ``ArrowRight`` or a space."""
        codes = {"Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, " ": 32, "Enter": 13}
        text = {"text": key} if key == " " else {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=codes[key], **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes[key])

    def accessible_nodes(self) -> list[tuple[str, str]]:
        """(role, name) of everything that a screen reader meets."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [(n.get("role", {}).get("value", ""), n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored")]

    def without_scripts(self) -> None:
        """From the next page on, scripts of pages do not run; :meth:`run` does."""
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def screenshot(self, path: Path | None = None) -> np.ndarray:
        """The whole page as a person would see it on scrolling through, RGB ``[H, W, 3]``; written to ``path`` as PNG, too."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"])
        if path is not None:
            path.write_bytes(shot)
        return np.asarray(cv2.cvtColor(cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))

    def box(self, selector: str) -> tuple[slice, slice]:
        """Rows and columns of an element in :meth:`screenshot`."""
        script = f"(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
        top, left, height, width = self.run(script + " return [r.top + scrollY, r.left + scrollX, r.height, r.width]; })()")
        return slice(round(top), round(top + height)), slice(round(left), round(left + width))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        details = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(details["exceptionDetails"]))
        elif message.get("method") == "Runtime.consoleAPICalled" and details["type"] in ("error", "assert"):
            self.errors.append(str(details["args"]))
        elif message.get("method") == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.errors.append(f"{details['entry']['text']} {details['entry'].get('url', '')}".rstrip())
        elif message.get("method") == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"][:80])

    def _page(self, profile: Path) -> ClientConnection:
        port_file = profile / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not (port_file.is_file() and port_file.read_text().count("\n")):
            assert time.monotonic() < end and self._process.poll() is None, "Chromium did not start"
            time.sleep(0.1)
        port, path = port_file.read_text().split()
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as browser:
            browser.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            targets = json.loads(browser.recv(timeout=60))["result"]["targetInfos"]
        target = next(target["targetId"] for target in targets if target["type"] == "page")
        return connect(f"ws://127.0.0.1:{port}/devtools/page/{target}", max_size=None)
