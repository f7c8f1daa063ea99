"""A real browser without a window: what a page looks like, and what it measures of itself."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
]  # fmt: skip
MEASURE = """<pre id="measured"></pre><script>addEventListener("load", () => {
document.getElementById("measured").textContent = JSON.stringify({
images: [...document.images].map(image => image.complete ? image.naturalWidth : 0),
loaded: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !name.startsWith("data:")),
width: innerWidth, needed: document.documentElement.scrollWidth})})</script>"""


def _open(page: Path, *options: str) -> str:
    with tempfile.TemporaryDirectory() as profile:
        command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", *options, page.resolve().as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def screenshot(page: Path, width: int = 1000, height: int = 1500, dark: bool = False) -> np.ndarray:
    """The pixels of a page, (height, width, 3), 0 to 255."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.png"
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        _open(page, scheme, f"--window-size={width},{height}", f"--screenshot={file}")
        with PIL.Image.open(file) as opened:
            return np.asarray(opened.convert("RGB"))


def measure(page: Path, width: int = 1000) -> dict:
    """What a browser says of a page: the width of each image, files loaded beside it, the width that it needs."""
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / page.name
        copy.write_text(text.replace("</body>", f"{MEASURE}</body>"), encoding="utf-8")
        dom = _open(copy, f"--window-size={width},1000", "--dump-dom")
    return json.loads(re.search(r'<pre id="measured">(.*?)</pre>', dom, re.DOTALL)[1])


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    """How many pixels have exactly this colour."""
    return int((pixels == np.array(colour)).all(-1).sum())
