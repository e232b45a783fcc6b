"""JupyterLab in chromium, for tests and measurements."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from notebooks import environment

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser"])), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TOKEN = "a-token-for-the-test"

# In the page: run the notebook as the menu "Run All Cells" does, and wait for its end.
RUN_ALL = "() => jupyterapp.commands.execute('notebook:run-all-cells')"

# In the page: note how long it takes from a key to a changed drawing of a trace, and to the end of
# the frame that shows it. Nothing polls: on one core that would slow down what is measured.
PROBE = """(panel) => {
    const plot = panel.querySelector('.js-plotly-plot');
    const layers = [...plot.querySelectorAll('.cartesianlayer, .ternarylayer')];
    const drawn = () => layers.map(layer => layer.innerHTML).join();
    const caption = panel.querySelector('p[role=status]');
    window.probe?.watchers.forEach(watcher => watcher.disconnect());
    window.probe = {drawn: [], seen: [], said: [], start: null, watchers: []};
    let before = drawn();
    let wanted = null;
    const check = () => {
        if (wanted && Math.min(probe.seen.length, probe.said.length) >= wanted.moves) {
            wanted.resolve();
            wanted = null;
        }
    };
    probe.answers = (moves) => new Promise((resolve, reject) => {
        wanted = {moves, resolve};
        setTimeout(() => reject(new Error(`no answer to move ${moves} within a minute`)), 60000);
        check();
    });
    const watch = (element, callback) => {
        const watcher = new MutationObserver(callback);
        const all = {subtree: true, childList: true, attributes: true, characterData: true};
        watcher.observe(element, all);
        probe.watchers.push(watcher);
    };
    panel.addEventListener('keydown', (event) => { probe.start = event.timeStamp; }, true);
    watch(plot, () => {
        const {start} = probe, now = performance.now();
        if (start === null || drawn() === before) return;
        probe.start = null;
        probe.drawn.push(now - start);
        requestAnimationFrame(() => {  // what is posted here comes after the frame
            const {port1, port2} = new MessageChannel();
            port1.onmessage = () => {
                probe.seen.push(performance.now() - start);
                before = drawn();
                check();
            };
            port2.postMessage(null);
        });
    });
    watch(caption, () => {
        probe.said.push(caption.innerText);
        check();
    });
}"""


class Lab(NamedTuple):
    """A running JupyterLab.

    Attributes:
        address: of the server.
        folder: that it serves.
        runtime: the folder with the files that say how to reach its kernels.
        pid: of its process.
    """

    address: str
    folder: Path
    runtime: Path
    pid: int

    def page(self, name: str) -> str:
        """Where a notebook is, in a workspace of its own: else others would be open beside it."""
        stem = name.removesuffix(".ipynb")
        return f"{self.address}/lab/workspaces/{stem}/tree/{name}?token={TOKEN}"


def idle(page: Any) -> None:
    """Wait until the notebook is open and its kernel has nothing to do."""
    session = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session"
    page.wait_for_function(f"{session}?.kernel?.status === 'idle'", timeout=120_000)


def problems(page: Any) -> list[str]:
    """Return a list that gets the errors of a page from now on, but for one of JupyterLab's own.

    Its debugger looks at every kernel that starts, and complains if that ends before it has looked.
    """
    found: list[str] = []
    own = "Could not restore the debugger state"

    def console(message: Any) -> None:
        if message.type == "error" and not message.text.startswith(own):
            found.append(message.text)

    page.on("console", console)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser. Raises ImportError without playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def end(process: subprocess.Popen[Any], seconds: float = 30.0) -> None:
    """End a process in order, or at once where that takes longer.

    A thread of JupyterLab was seen to wait for ever at its end.

    Args:
        process: which runs.
        seconds: that it may take.
    """
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def serving(home: Path, course: Path, config: Path | None = None) -> Iterator[Lab]:
    """Serve a folder with JupyterLab, whose own files are in an empty folder.

    Args:
        home: the empty folder.
        course: what is served.
        config: a folder with settings, as JUPYTER_CONFIG_PATH names it.
    """
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    variables = environment(str(home / "no data here"))
    variables |= {name: str(home / folder) for name, folder in folders.items()}
    if config is not None:
        variables["JUPYTER_CONFIG_PATH"] = str(config)
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet), "utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
    ]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={course}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    address = f"http://127.0.0.1:{port}"
    log = home / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=variables, stdout=output, stderr=output) as server,
    ):
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}/api?token={TOKEN}").close()
                    break
                except OSError:
                    assert server.poll() is None, log.read_text("utf-8")
                    time.sleep(0.5)
            else:
                raise RuntimeError(f"JupyterLab did not answer:\n{log.read_text('utf-8')}")
            yield Lab(address, course, home / "runtime", server.pid)
        finally:
            end(server)
