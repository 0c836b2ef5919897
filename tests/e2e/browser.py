"""A headless Chromium under a test's control: one page, its keys, its text, its picture.

Speaks the DevTools protocol over two pipes (JSON ended by a zero byte). Reaches this machine only.
Knows nothing of editors.
"""

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

CALL_S = 60.0
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
]
ALT, CONTROL, META, SHIFT = 1, 2, 4, 8
# name -> (code, virtual key code, text)
NAMED = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Backspace": ("Backspace", 8, ""),
    "Delete": ("Delete", 46, ""),
    "End": ("End", 35, ""),
    "Home": ("Home", 36, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "]": ("BracketRight", 221, "]"),
    "[": ("BracketLeft", 219, "["),
    "\\": ("Backslash", 220, "\\"),
    " ": ("Space", 32, " "),
    "F1": ("F1", 112, ""),
}
MODIFIERS = {"Alt": ALT, "Control": CONTROL, "Meta": META, "Shift": SHIFT}


class Browser:
    """One Chromium with one page."""

    def __init__(self, program: str, profile: Path, *, width: int, height: int) -> None:
        child_in, self._to = os.pipe()
        self._from, child_out = os.pipe()
        # The protocol's pipes are descriptors 3 and 4, wherever they were made. Bash, since other
        # shells know no descriptors above 9.
        shell = f'exec "$@" 3<&{child_in} 4>&{child_out}'
        options = [*FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, *options],
            pass_fds=(child_in, child_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(child_in)
        os.close(child_out)
        self._buffer = b""
        self._next_id = 0
        self._session: str | None = None
        try:
            self._open_page()
        except BaseException:
            self.close()
            raise
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def _open_page(self) -> None:
        end = time.monotonic() + CALL_S
        while True:
            targets = self.call("Target.getTargets")["targetInfos"]
            pages = [target for target in targets if target["type"] == "page"]
            if pages:
                break
            assert time.monotonic() < end, "the browser opened no page"
        page = pages[0]["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Return the result of a command of the protocol."""
        self._next_id += 1
        message: dict[str, Any] = {"id": self._next_id, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            body, separator, rest = self._buffer.partition(b"\0")
            if not separator:
                data = os.read(self._from, 1 << 16)
                assert data, f"the browser ended during {method}"
                self._buffer += data
                continue
            self._buffer = rest
            reply = json.loads(body)
            if reply.get("id") == self._next_id:
                assert "error" not in reply, f"{method}: {reply['error']}"
                return reply["result"]

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def type(self, text: str, *, pause_s: float = 0.03) -> None:
        for key in text:
            if key == "\n":
                self.press("Enter")
            elif key.isascii():
                self.press(key)
            else:
                self.call("Input.insertText", text=key)
            time.sleep(pause_s)

    def press(self, chord: str) -> None:
        """Press and release a key, `Control+Alt+ArrowRight` style; a single character is itself."""
        *held, key = chord.split("+") if len(chord) > 1 else [chord]
        modifiers = sum(MODIFIERS[name] for name in held)
        if key in NAMED and (held or len(key) > 1):
            code, number, text = NAMED[key]
        else:
            code = f"Key{key.upper()}" if key.isalpha() else ""
            number, text = (ord(key.upper()) if key.isalnum() else 0), key
        event: dict[str, Any] = {"key": key, "code": code, "modifiers": modifiers}
        event["windowsVirtualKeyCode"] = number
        if text and not modifiers & ~SHIFT:
            event["text"] = text
        self.call(
            "Input.dispatchKeyEvent", type="keyDown" if "text" in event else "rawKeyDown", **event
        )
        event.pop("text", None)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def picture(self, clip: tuple[float, float, float, float] | None = None) -> bytes:
        """Return the page, or x, y, width and height of it, as PNG."""
        params: dict[str, Any] = {"format": "png"}
        if clip is not None:
            x, y, width, height = clip
            params["clip"] = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.call("Page.captureScreenshot", **params)["data"])

    def close(self) -> None:
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
