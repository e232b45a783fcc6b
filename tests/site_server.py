"""The built site on a server, and its pages in chromium, as fixtures and helpers of the tests."""

import contextlib
import functools
import gzip
import http.server
import math
import os
import threading
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SITE = Path(os.environ.get("GUMBELRAO_SITE", ROOT / "build" / "site"))
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("notebooks/*.html"))
EVERY = ["index.html", *PAGES, "paper.html", "glossary.html", "teaching.html", "library.html"]
EVERY += ["install.html", "404.html"]
EVERY += ["reference/index.html", "reference/gumbelrao_edu.estimators.gumbel_rao.html"]
NOWHERE = SITE / "404.html"
# GitHub Pages puts the site of a repository into a folder of its name.
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ROOT_OF_SITE = "/" + PROJECT["urls"]["Repository"].rsplit("/", 1)[1] + "/"
SPEED, LATENCY_S, PACKET = 10_000_000 / 8, 0.02, 4096  # of a slow line, in bytes

# What the tests of the site are marked with.
MARKS = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not PAGES and os.environ.get("GUMBELRAO_REQUIRE_SITE") != "1",
        reason="the site is not built (make site)",
    ),
]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves as GitHub Pages does: compressed, and 404.html for addresses that lead nowhere."""

    def log_message(self, *arguments):
        pass

    def translate_path(self, path):
        inside = path.startswith(ROOT_OF_SITE)
        return super().translate_path(path.removeprefix(ROOT_OF_SITE) if inside else "/nowhere")

    def send_head(self):
        path, status = Path(self.translate_path(self.path)), 200
        if not path.exists() and NOWHERE.exists():
            path, status = NOWHERE, 404
        if not path.is_file():
            return super().send_head()
        body = compressed(path)
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        # A page that is left breaks off what was still coming.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.server.send(self.wfile.write, body)
        return None


@functools.cache
def compressed(path):
    return gzip.compress(path.read_bytes(), 6)


class Server(http.server.ThreadingHTTPServer):
    """The site, over a line that all answers share."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(SITE)))
        self.address = f"http://127.0.0.1:{self.server_address[1]}{ROOT_OF_SITE}".rstrip("/")
        self.speed = math.inf  # bytes a second
        self.line = threading.Lock()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def send(self, write, body):
        if self.speed == math.inf:
            write(body)
            return
        time.sleep(LATENCY_S)
        for begin in range(0, len(body), PACKET):
            packet = body[begin : begin + PACKET]
            with self.line:
                time.sleep(len(packet) / self.speed)
            write(packet)


@pytest.fixture(scope="module")
def address():
    with Server() as server:
        yield server.address


@pytest.fixture
def open_page(chromium, address):
    """Opens a page; at the end of the test, no other host was asked and no script has failed."""
    contexts, asked, problems = [], [], []

    def open_(name, *, wait=True, width=1200, height=1000, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda r: problems.append(r.url) if r.status >= 400 else None)
        page.goto(f"{address}/{name}")
        if wait and page.locator("[data-states]").count():
            page.evaluate(NEXT)
            page.wait_for_selector(LIVE, timeout=60_000)
        if wait:  # letters of another font have other widths, which tables and formulas follow
            page.evaluate(f"document.fonts.ready.then({FRAMES})")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert problems == []


def make_live(page):
    """Scrolls to one still picture after the other: they come alive when they come near."""
    page.wait_for_function(f"!({NEXT})()", polling=50, timeout=60_000)


# In the page: goes to the next still picture, in a folded solution too.
NEXT = """() => {
    const still = document.querySelector('[data-states]');
    for (let fold = still; (fold = fold?.closest('details:not([open])')); ) fold.open = true;
    still?.scrollIntoView();
    return still !== null;
}"""
# In the page: some frames, in which the layout comes to rest.
FRAMES = """() => new Promise(done => {
    let left = 5;
    const next = () => left-- ? requestAnimationFrame(next) : done(null);
    next();
})"""
LIVE = ".gumbelrao-panel:not(.gumbelrao-still .gumbelrao-panel) .main-svg"


def schemes(page):
    """Show the page light and then dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        page.wait_for_timeout(300)  # colours fade into each other
        yield scheme


# In the page: what sticks out at the right, beside what scrolls by itself.
CUT = """() => [...document.querySelectorAll('.bd-article-container *')].filter((element) => {
    const {width, right} = element.getBoundingClientRect();
    if (width < 2 || right <= window.innerWidth + 1) return false;
    for (let outer = element; outer !== null; outer = outer.parentElement) {
        if (['auto', 'scroll'].includes(getComputedStyle(outer).overflowX)) return false;
    }
    return element.closest('.katex-mathml, .katex svg, .gumbelrao-frame') === null;
}).map((element) => element.outerHTML.slice(0, 200))"""
