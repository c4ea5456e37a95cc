"""Drive a real JupyterLab in Chromium, as a learner would: open a notebook, Run All, look at it.

The server has settings of its own, made fresh: the learner's JupyterLab and the tests' leave each other alone.
"""

from __future__ import annotations

import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, sync_playwright

from tools.environment import child_environment
from tools.tasks import NO_BROWSER, find_chromium, jupyterlab_options

LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
SERVER_START = 60.0
WIDTH, TALLEST = 1280, 15_000
OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OPTIONS += ["--disable-component-update", "--disable-sync"]

KERNEL_IS_IDLE = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.sessionContext?.session?.kernel?.status === 'idle';
}"""
CELLS = """() => Array.from(jupyterapp.shell.currentWidget.content.model.cells)
  .filter(cell => cell.type === 'code')
  .map(cell => ({
    source: cell.sharedModel.source,
    count: cell.executionCount,
    tags: cell.getMetadata('tags') || [],
    outputs: cell.outputs.toJSON(),
  }))"""
EVERY_CELL_RAN = """() => {
  const panel = jupyterapp.shell.currentWidget;
  const cells = Array.from(panel.content.model.cells).filter(cell => cell.type === 'code' && cell.sharedModel.source);
  const failed = cell => cell.outputs.toJSON().some(output => output.output_type === 'error')
    && !(cell.getMetadata('tags') || []).includes('raises-exception');
  return panel.sessionContext.session.kernel.status === 'idle'
    && (cells.every(cell => cell.executionCount !== null) || cells.some(failed));
}"""

HEIGHT_THAT_SHOWS_ALL = """() => {
  const panel = jupyterapp.shell.currentWidget.content;
  const outer = panel.node.querySelector('.jp-WindowedPanel-outer');
  const last = panel.widgets[panel.widgets.length - 1].node;
  const below = window.innerHeight - outer.getBoundingClientRect().bottom;
  return last.isConnected && last.offsetHeight
    ? last.getBoundingClientRect().bottom + outer.scrollTop + below + 60
    : window.innerHeight + outer.scrollHeight;
}"""


@dataclass
class CodeCell:
    """A code cell after it ran."""

    source: str
    count: int | None
    tags: list[str]
    outputs: list[dict[str, Any]]

    @property
    def errors(self) -> list[str]:
        """The errors among its outputs that its tags do not announce, one line each."""
        if "raises-exception" in self.tags:
            return []
        found = [output for output in self.outputs if output["output_type"] == "error"]
        return [f"{self.source.splitlines()[0]!r} raised {error['ename']}: {error['evalue']}" for error in found]


class Server:
    """JupyterLab as `make lab` starts it, on a free port, with settings of its own.

    Parameters
    ----------
    root
        The folder that it serves.
    scratch
        An empty folder for its settings, its log and the local AWS's state.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.token = secrets.token_hex(16)
        self._state_dir = scratch / "state"
        # A picture of the whole notebook needs cells that are drawn though they are out of sight.
        settings = scratch / "settings" / "@jupyterlab" / "notebook-extension"
        settings.mkdir(parents=True)
        (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
        self.log = scratch / "jupyter.log"
        own = {
            "JUPYTER_CONFIG_DIR": scratch / "config",
            "JUPYTER_DATA_DIR": scratch / "data",
            "JUPYTER_RUNTIME_DIR": scratch / "runtime",
            "JUPYTERLAB_SETTINGS_DIR": scratch / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": scratch / "workspaces",
            "IPYTHONDIR": scratch / "ipython",
            "LAB_STATE_DIR": self._state_dir,
        }
        environment = child_environment() | {name: str(path) for name, path in own.items()}
        environment["JUPYTER_TOKEN"] = self.token
        command = [sys.executable, "-m", "jupyterlab", *jupyterlab_options(root), "--no-browser", "--ip=127.0.0.1"]
        command += [f"--port={self.port}", "--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def wait_until_up(self) -> None:
        """Return when the server answers; raise RuntimeError with its log where it ends or never does."""
        deadline = time.monotonic() + SERVER_START
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start: {self.log.read_text()}")

    def address(self, notebook: str) -> str:
        """Return the address that opens a notebook, given by its path below the served folder."""
        return f"http://127.0.0.1:{self.port}/lab/tree/{quote(notebook)}?reset&token={self.token}"

    def warnings(self) -> list[str]:
        """Return the warnings and errors that it wrote, its kernels' and Python's own included."""
        loud = re.compile(r"^\[[WEC] (?!.*ServerApp\] *$)|\b(WARNING|ERROR|CRITICAL)\b|Warning:|Traceback")
        return [line for line in self.log.read_text().splitlines() if loud.search(line)]

    def close(self) -> None:
        """End the server, its kernels and the local AWS that they started."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        environment = child_environment() | {"LAB_STATE_DIR": str(self._state_dir)}
        stop = [sys.executable, "-m", "helpers.local_aws", "stop", "--all"]
        subprocess.run(stop, env=environment, check=True, capture_output=True)


class NotebookPage:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        page.goto(address)
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
        page.wait_for_function(KERNEL_IS_IDLE, timeout=60_000)

    def run_all(self, timeout: float = 120) -> list[CodeCell]:
        """Run every cell, and return the code cells when all ran or one failed; `timeout` in seconds."""
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
        try:
            self.page.wait_for_function(EVERY_CELL_RAN, timeout=timeout * 1000)
        except BrowserError as error:
            waiting = [cell.source for cell in self.code_cells() if cell.source and cell.count is None]
            raise TimeoutError(f"These cells did not run in {timeout} s: {waiting}") from error
        return self.code_cells()

    def code_cells(self) -> list[CodeCell]:
        """Return the code cells with their outputs, as the page holds them."""
        return [CodeCell(**cell) for cell in self.page.evaluate(CELLS)]

    def popups(self) -> list[str]:
        """Return the texts of the dialogs and notifications that stand over the page."""
        return self.page.locator(".jp-Dialog-content, .Toastify__toast").all_inner_texts()

    def screenshot(self, theme: str, file: Path) -> None:
        """Take a picture of the whole notebook in a theme (`LIGHT` or `DARK`)."""
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        self.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        panel = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        for _ in range(3):  # the height of what was never drawn is an estimate
            height = min(int(self.page.evaluate(HEIGHT_THAT_SHOWS_ALL)), TALLEST)
            self.page.set_viewport_size({"width": WIDTH, "height": height})
            self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        for cell in (panel.locator(".jp-Cell").last, panel.locator(".jp-Cell").first):
            cell.evaluate("cell => cell.scrollIntoView()")  # draws what was never in sight
            self.page.evaluate("() => new Promise(done => requestIdleCallback(done))")
        panel.screenshot(path=file, animations="disabled")


@contextmanager
def chromium_page() -> Iterator[Page]:
    """Open a page in Chromium; raise RuntimeError, which says how to get it, where there is none."""
    path = find_chromium()
    if path is None:
        raise RuntimeError(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        try:
            yield browser.new_page(viewport={"width": WIDTH, "height": 900})
        finally:
            browser.close()
