import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hagan_clinic.runtime.page import LIMIT, Failure, room_for, write_page


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.texts = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found:
            identity = self.found[-1][1].get("id")
            self.texts[identity] = self.texts.get(identity, "") + data


def test_the_page_asks_for_nothing(page):
    text = page.read_text("utf-8")
    elements = Elements(text)
    policy = next(a["content"] for _, a in elements.found if "http-equiv" in a)
    assert policy.startswith("default-src 'none'") and "connect-src" not in policy
    assert not re.search(r"https?:|//[a-z]+\.|\bfetch\(|XMLHttpRequest|WebSocket|@import", text)
    for _, attributes in elements.found:
        assert "src" not in attributes
        assert attributes.get("href", "data:,") == "data:,"


def test_every_text_from_outside_stays_text(page):
    elements = Elements(page.read_text("utf-8"))
    assert not {"b", "i"} & {tag for tag, _ in elements.found}
    facts = json.loads(elements.texts["facts"])
    assert [one["name"] for one in facts] == ["</script><b>odd", "quiet"]
    assert facts[0]["warnings"] == ["a & b <i>"]


def test_the_worst_comes_first(tmp_path, subject_of):
    three = [
        subject_of(name, limit=2**18, warnings=w)
        for name, w in (("a", []), ("b", "xy"), ("c", "x"))
    ]
    write_page(three, tmp_path / "page.html")
    facts = json.loads(Elements((tmp_path / "page.html").read_text()).texts["facts"])
    assert [one["name"] for one in facts] == ["b", "c", "a"]


def test_the_notice_is_always_there(page):
    text = page.read_text("utf-8")
    assert "<header><strong>SYNTHETIC, NOT FOR DIAGNOSIS</strong>" in text
    assert "<title>SYNTHETIC, NOT FOR DIAGNOSIS" in text


def test_fifty_subjects_fit_their_page(subject_of):
    room = room_for(50)
    assert 50 * room <= LIMIT < 60 * 2**20
    assert subject_of(limit=room).size <= room


def shown_values(browser):
    return browser.run(
        "[...document.querySelectorAll('figcaption output')].map(o => +o.dataset.value)"
    )


def expected_values(browser, images, spec):
    """What nibabel's affine says lies at the crosshair."""
    mm = [float(n) for n in browser.run("document.querySelector('#place').dataset.mm").split()]
    voxel = np.linalg.inv(images["t1"].affine) @ [*mm, 1]
    place = tuple(np.rint(voxel[:3]).astype(int))
    assert np.allclose(voxel[:3], place, atol=1e-3)
    t1, synthetic, flair, bar = (
        float(images[n].array[place]) for n in ("t1", "synthetic", "flair", "bar")
    )
    low, high = spec["pictures"][2]["scanner"]
    return [t1, synthetic, (flair - low) / (high - low), bar]


def test_a_browser_draws_the_volumes_and_tells_their_values(browser, page, images):
    browser.open(page)
    spec = json.loads(Elements(page.read_text("utf-8")).texts["facts"])[0]
    boxes = browser.run(
        "[...document.querySelectorAll('#viewer canvas')].map(c => {"
        "const r = c.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]})"
    )
    assert len(boxes) == 15
    places = set()
    for box, across, down in ((0, 0.4, 0.4), (4, 0.6, 0.3), (0, 0.7, 0.55), (4, 0.35, 0.45)):
        x, y, width, height = boxes[box]
        browser.click(x + across * width, y + down * height)
        at, shape = browser.run("view.at"), spec["shape"]
        # Right is on the left, anterior (of axial) and superior (of coronal slices) at the top.
        assert abs(at[2] - (1 - across) * shape[2]) <= 1
        row = 1 if box == 0 else 0
        assert abs(at[row] - (1 - down) * shape[row]) <= 1
        places.add(browser.run("document.querySelector('#place').dataset.mm"))
        found = shown_values(browser)
        for value, expected, picture in zip(
            found, expected_values(browser, images, spec), spec["pictures"], strict=False
        ):
            top = picture["low"] + 255 * picture["step"]
            assert value == pytest.approx(min(expected, top), abs=0.51 * picture["step"])
        assert found[4] == pytest.approx(found[1] - max(found[2], 0), abs=1e-5)
    assert len(places) == 4
    drawn = browser.run(
        "[...document.querySelectorAll('#viewer canvas')].map(c => new Set(new Uint32Array("
        "c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size)"
    )
    assert min(drawn) > 60
    assert browser.requests[0] == page.as_uri()
    assert all(url.startswith("data:") for url in browser.requests[1:])


def test_the_axial_slice_is_drawn_with_the_right_on_the_left(browser, page, images):
    browser.open(page)
    found = browser.run(
        "(() => { const {bytes} = view.subject.pictures[1]; const s = view.subject.shape;"
        "const image = slicePixels(s, PLANES[0], view.at[0], (i) => bytes[i]);"
        "return [s, view.at, [...new Uint32Array(image.data.buffer)]] })()"
    )
    (_, height, width), at, pixels = found
    affine = np.array(browser.run("view.subject.affine"))
    pixels = np.array(pixels).reshape(height, width)
    mm = affine[:3, :3] @ [at[0], height - 1, width - 1] + affine[:3, 3]  # of the first pixel
    start = np.rint(np.linalg.inv(images["synthetic"].affine) @ [*mm, 1])[:3].astype(int)
    i, j, k = start
    # The file's axes run to the right, to anterior and to superior.
    assert (np.diag(images["synthetic"].affine)[:3] > 0).all()
    expected = images["synthetic"].array[i - width + 1 : i + 1, j - height + 1 : j + 1, k]
    assert np.abs(pixels / 255 - expected.T[::-1, ::-1]).max() < 0.01


def test_the_keyboard_moves_compares_and_judges(browser, page):
    browser.open(page)
    at = browser.run("view.at")
    for key in ("]", "]", "ArrowLeft", "ArrowUp"):
        browser.press(key)
    assert browser.run("view.at") == [at[0] + 2, at[1] + 1, at[2] + 1]
    browser.press("b")
    blink = "document.querySelectorAll('figcaption span')[4].textContent"
    browser.wait_for(f"{blink} === 'blink: flair, real'")
    browser.wait_for(f"{blink} === 'blink: flair, synthetic'")
    browser.press("r")
    browser.press("n")
    browser.wait_for("document.body.dataset.shown === '1'")
    browser.press("a")
    browser.open(page)  # as a reader who comes back
    rows = browser.run("csv()").split("\r\n")
    assert rows[0].startswith('"result","warnings","mean absolute error"')
    assert '"reject"' in rows[1] and '"accept"' in rows[2]
    browser.run("localStorage.clear()")


def test_a_click_on_a_heading_sorts_the_table(browser, page):
    browser.open(page)
    names = "[...document.querySelectorAll('tbody button')].map(b => b.textContent)"
    assert browser.run(names) == ["</script><b>odd", "quiet"]
    browser.run("document.querySelectorAll('thead button')[1].click()")
    assert browser.run(names) == ["</script><b>odd", "quiet"]
    browser.run("document.querySelectorAll('thead button')[1].click()")
    assert browser.run(names) == ["quiet", "</script><b>odd"]


def test_a_scan_that_failed_has_a_row_with_its_reason_and_nothing_to_draw(
    browser, subject_of, tmp_path
):
    failure = Failure("patient <8>", "the file is no volume")
    write_page([subject_of("sound", limit=2**19), failure], tmp_path / "qc.html")
    browser.open(tmp_path / "qc.html")
    cells = "[...document.querySelectorAll('tbody tr')[0].cells].map(c => c.textContent)"
    assert browser.run(cells)[1:3] == ["patient <8>", "the file is no volume"]
    assert browser.run("view.subject.name") == "sound"  # there is something to see at first
    browser.press("p")
    browser.wait_for("document.body.dataset.shown === '0'")
    assert browser.run("document.querySelectorAll('#viewer canvas').length") == 0
    for key in ("]", "ArrowUp", "b", "r", "n"):
        browser.press(key)
    browser.wait_for("document.body.dataset.shown === '1'")
    assert browser.run("document.querySelectorAll('#viewer canvas').length") == 15
    rows = browser.run("csv()").split("\r\n")
    assert '"the file is no volume"' in rows[1] and '"reject"' in rows[1]
    browser.run("localStorage.clear()")


def test_a_formula_in_a_note_stays_text_in_a_spreadsheet(browser, page):
    browser.open(page)
    assert browser.run("""field('=1+"a"')""") == '"\'=1+""a"""'
    assert browser.run("field(-1.5)") == '"-1.5"'
