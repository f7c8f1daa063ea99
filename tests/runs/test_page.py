"""The page of a run: one file with all that its folder holds, and readable in a real browser."""

import json
import re

import numpy as np
import PIL.Image
import pytest
from browser import count, measure, needs_browser, screenshot

from mot_lightning.media.html import STYLE
from mot_lightning.runs.examples import Example, Examples, last_examples, write_examples
from mot_lightning.runs.page import write_page

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ROWS = """step,train/loss,train/a/loss,train/b/loss,train/b/grad_norm,val/loss,val/a/loss,val/b/loss,val/b/bits_per_byte
1,9,5,4,1.5,,,,
2,8,4,nan,,,,,
2,,,,,7,3,4,2.5
3,7,3,4,,,,,
4,,,,,6,2,4,2.25
"""


def picture(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((128, 128, 3), colour, np.uint8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """A run as callbacks leave it."""
    run = tmp_path / "digits" / "3"
    samples = run / "samples"
    generated, real, prompt = (
        picture(samples / name, colour)
        for name, colour in (("step_000004/a_00.png", RED), ("prompts/real.png", BLUE), ("prompts/p.png", GREEN))
    )
    words = samples / "step_000004" / "b_00.txt"
    words.write_text("costs $$ <b>, 七\n", encoding="utf-8")
    tasks = [
        Examples("b -> a", 4, [Example("七", [words], generated, real)] * 3),
        Examples("a -> b", 4, [Example("", [prompt], words)], note="guidance <2>"),
    ]
    write_examples(samples / "step_000004", tasks)
    (samples / "step_000002").mkdir()
    write_examples(samples / "step_000002", tasks[:1])
    (run / "metrics.csv").write_text(ROWS)
    metrics = {"test/a/loss": 0.25, "model/parameters": 1234567, "model/a/active_parameters": 7654, "fit/steps": 4}
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "tables.json").write_text(json.dumps([[["task", "value"], ["b -> a", "0.125 ±0.010"]]]))
    (run / "config.yaml").write_text("experiment: digits  # <&>\n")
    return run


def test_a_page_has_all_that_the_folder_has(folder):
    page = write_page(folder).read_text(encoding="utf-8")
    for text in (
        "<title>digits/3</title>", "0.125 ±0.010", "a: loss", "b: loss", "b: bits per byte", ">train<", ">val<",
        "b -&gt; a, step 4", "a -&gt; b, step 4", "guidance &lt;2&gt;", "costs $$ &lt;b&gt;, 七", "generated", "real",
        "1,234,567", "7,654", "experiment: digits  # &lt;&amp;&gt;",
    ):  # fmt: skip
        assert text in page
    assert page.count("data:image/png") == 3 * 2 + 1
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_nothing_of_a_page_lies_outside_it(folder):
    page = write_page(folder).read_text(encoding="utf-8")
    assert "://" not in page
    assert "<script" not in page
    links = re.findall(r'(?:src|href)="([^"]{,20})', page) + re.findall(r"url\(([^)]*)\)", page)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)


def test_a_page_is_written_again_from_the_folder_alone(folder, tmp_path):
    first = write_page(folder).read_text(encoding="utf-8")
    moved = folder.rename(tmp_path / "3")
    again = write_page(moved).read_text(encoding="utf-8")
    assert again == first.replace("digits/3", f"{tmp_path.name}/3")


def test_what_a_run_lacks_its_page_leaves_out(tmp_path):
    page = write_page(tmp_path).read_text(encoding="utf-8")
    assert "<h2>" not in page
    (tmp_path / "metrics.json").write_text('{"test/a/psnr": 23.4567}')
    page = write_page(tmp_path).read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", page) == ["Results"]
    assert ">a/psnr<" in page
    assert ">23.46<" in page


def test_the_last_step_is_the_highest_whatever_its_digits(tmp_path):
    for step in (999_999, 1_000_000):
        (tmp_path / f"step_{step:06d}").mkdir()
        write_examples(tmp_path / f"step_{step:06d}", [Examples("task", step, [], ("new", "old"))])
    assert last_examples(tmp_path) == [Examples("task", 1_000_000, [], ("new", "old"))]


@needs_browser
def test_a_browser_shows_a_run(folder):
    page = write_page(folder)
    measured = measure(page, 500)
    assert measured["images"] == [128] * 7
    assert not measured["loaded"]
    assert measured["needed"] <= measured["width"] == 500
    for dark, line in enumerate(re.findall("--one:#(..)(..)(..)", STYLE)):
        pixels = screenshot(page, height=2500, dark=bool(dark))
        assert count(pixels, RED) > 3 * 90**2
        assert count(pixels, BLUE) > 3 * 90**2
        assert count(pixels, GREEN) > 90**2
        assert count(pixels, tuple(int(part, 16) for part in line)) > 300  # the curves' colour, other when dark
        assert (pixels[5, 5].mean() < 40) == dark
