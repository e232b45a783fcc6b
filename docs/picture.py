"""Take the picture of the README: the first page's live figure, from the built site in chromium.

python docs/picture.py    writes docs/live.png, under 300 kB
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE = DOCS.parent / "build" / "site" / "index.html"
PICTURE = DOCS / "live.png"
LIMIT = 300_000  # bytes

sys.path.insert(0, str(DOCS.parent / "tools"))

from lab import ARGUMENTS, CHROMIUM  # noqa: E402


def main() -> int:
    from PIL import Image
    from playwright.sync_api import sync_playwright

    if not PAGE.exists():
        print("The site is not there: make site builds it.", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1000, "height": 900}, device_scale_factor=2)
        page.goto(PAGE.as_uri())
        panel = page.locator(".gumbelrao-panel")
        panel.locator(".main-svg").first.wait_for()
        # A picture has no buttons.
        style = ".gumbelrao-plot button { display: none } .gumbelrao-panel { padding: 12px }"
        page.add_style_tag(content=style)
        page.wait_for_timeout(500)  # the figure follows the new width
        page.wait_for_function("!document.querySelector('.gumbelrao-still')")
        shot = panel.screenshot()
        browser.close()
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    small = io.BytesIO()
    image.quantize(128).save(small, "PNG", optimize=True)
    size = len(small.getvalue())
    if size > LIMIT:
        print(f"The picture has {size // 1000} kB, {LIMIT // 1000} are allowed.", file=sys.stderr)
        return 1
    PICTURE.write_bytes(small.getvalue())
    print(f"{PICTURE}: {size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
