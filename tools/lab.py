"""JupyterLab in Chromium, as a student uses it: for the tests, and for the pictures of the documentation."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# Without the browser's own traffic, so that each request that is seen is the page's. No name leads anywhere, and at once:
# a machine may take seconds to find out that there is no such name.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# Nodes of the accessibility tree that a reader is not told: pieces of a line that its parent has whole, and unnamed boxes.
LEFT_OUT = {"InlineTextBox", "generic", "none"}
START = "from autograder.quick import start_quickly; start_quickly(); from jupyterlab.labapp import main; main()"  # jupyter lab
TOKEN = "a-token-of-this-lab"
# Nobody is asked for news, and the page holds all cells, not only those on the screen.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


class Lab:
    """A JupyterLab of its own over a folder.

    Attributes:
        address: where it listens.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._home = tempfile.TemporaryDirectory()
        home = pathlib.Path(self._home.name)
        for name, settings in SETTINGS.items():
            path = home / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings), encoding="utf-8")
        # nbgrader's Validate gives each cell 30 s, which a busy machine may need more than once.
        (home / "nbgrader_config.py").write_text("c = get_config()\nc.Execute.timeout = 1800\n", encoding="utf-8")
        own = dict.fromkeys(("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"), str(home))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
        command = [sys.executable, "-c", START, *options]
        self._log = home / "lab.log"
        with self._log.open("w") as said:
            self._server = subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=said, stderr=said)
        while not self._answers():
            if self._server.poll() is not None:
                raise RuntimeError(self._log.read_text(encoding="utf-8"))
            time.sleep(0.2)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self._get("/api"))
        return False

    def _get(self, path: str) -> object:
        request = urllib.request.Request(self.address + path, headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def open(self, browser: Browser, notebook: str, width: int = 1400, height: int = 900) -> Page:
        """A page with this notebook alone, as large as the window, its kernel started."""
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(1_800_000)  # no test depends on how fast the machine is
        page.goto(f"{self.address}/doc/tree/{notebook}?token={TOKEN}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        while not self._connected(notebook):
            page.wait_for_timeout(200)
        return page

    def _connected(self, notebook: str) -> bool:
        """Whether the page speaks with the notebook's kernel; what is chosen before is lost."""
        sessions = self._get("/api/sessions")
        assert isinstance(sessions, list)
        kernels = [session["kernel"] for session in sessions if session["path"] == notebook]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def choose(self, page: Page, menu: str, entry: str, until: str) -> None:
        """Chooses an entry of the menu bar, and waits until a cell shows this text."""
        page.wait_for_timeout(1000)
        page.locator(".lm-MenuBar-itemLabel", has_text=menu).first.click()
        page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).first.click()
        page.locator(".jp-OutputArea").filter(has_text=until).last.wait_for()
        page.wait_for_timeout(500)

    def close(self) -> None:
        """Ends the server and its kernels."""
        self._server.terminate()
        self._server.wait()
        self._home.cleanup()


@contextlib.contextmanager
def lab(folder: pathlib.Path) -> Iterator[tuple[Lab, Browser]]:
    """A JupyterLab over the folder, and a browser."""
    with contextlib.closing(Lab(folder)) as there, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield there, browser
        browser.close()


def tree(page: Page) -> list[str]:
    """The notebook in the browser's accessibility tree, as a screen reader gets it: role and name of each node, indented."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    by_id = {node["nodeId"]: node for node in nodes}
    lines = []

    def role(node: dict[str, Any]) -> str:
        return str(node.get("role", {}).get("value", ""))

    def walk(node: dict[str, Any], depth: int) -> None:
        told = not node["ignored"] and role(node) not in LEFT_OUT
        if told:
            name = " ".join(str(node.get("name", {}).get("value", "")).split())
            levels = [f" (level {found['value']['value']})" for found in node.get("properties", []) if found["name"] == "level"]
            lines.append(f"{'  ' * depth}{role(node)}{''.join(levels)} {name}".rstrip())
        for child in node.get("childIds", []):
            if child in by_id:
                walk(by_id[child], depth + told)

    walk(next(node for node in nodes if role(node) == "feed"), 0)  # JupyterLab's role for the list of cells
    return lines


def pictures(lines: Iterable[str]) -> list[str]:
    """The name of each picture in a `tree`, as a screen reader says it; "" where it has none."""
    words = [line.strip() for line in lines]
    return [word.removeprefix("image").strip() for word in words if word.split(" ")[0] == "image"]
