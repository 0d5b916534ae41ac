"""The page of `mscs predict` as a reader uses it: sorting, opening cases, scrolling slices, from the disk alone."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnunetv2_mscs.reporting.pictures import png
from nnunetv2_mscs.reporting.predictions import write_page
from nnunetv2_mscs.reporting.sheet import draw_sheet, draw_thumbnail
from nnunetv2_mscs.reporting.sheet_case import scan_to_show
from nnunetv2_mscs.reporting.viewer import draw_slices
from nnunetv2_mscs.scans.grid import Grid
from tests.models.new_scans import scan
from tests.reporting.browser.conftest import visit

By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys

# Volumes by which the cases are told apart, and their warnings.
CASES = {"p1": (9.0, []), "p2": (110.0, ["one <b>", "two"]), "p10": (25.0, ["one"])}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Three cases with pictures and one that failed."""
    out = tmp_path_factory.mktemp("out")
    for folder in ("sheets", "slices"):
        (out / folder).mkdir()
    records: list[dict] = [{"case": "broken", "status": "failed", "reason": "it is empty. Export it again."}]
    for seed, (case, (volume, warnings)) in enumerate(CASES.items()):
        arrays = {name: array.T for name, array in scan(seed).items()}
        mask = np.zeros(arrays["dwi"].shape, np.uint8)
        mask[3, 8:12, 5:9] = 1
        grid = Grid(mask.shape[::-1], (8.0, 8.0, 14.0))
        shown = scan_to_show(case, {"DWI": arrays["dwi"], "ADC": arrays["adc"]}, grid, prediction=mask)
        slices = draw_slices(shown)
        assert len(slices.images) + len(slices.contours) < 150_000
        (out / f"slices/{case}.webp").write_bytes(slices.images)
        (out / f"slices/{case}_mask.png").write_bytes(slices.contours)
        (out / f"sheets/{case}.png").write_bytes(png(draw_sheet(shown).image))
        (out / f"sheets/{case}_small.png").write_bytes(png(draw_thumbnail(shown, height=90)))
        numbers = {"lesion_volume_ml": volume, "lesion_count": 1, "largest_probability": 0.9}
        records.append({"case": case, "status": "ok", "warnings": warnings, "slices": slices.layout, **numbers})
    write_page(out / "index.html", records, sheets="sheets", slices="slices", model="a model")
    return out / "index.html"


@pytest.fixture
def opened(chromium, page):
    yield from visit(chromium, page)


def one(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector)


def cases(page) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('#cases tbody th')].map(one => one.textContent)")


def open_case(page, case) -> None:
    one(page, f"a[data-case={case}]").click()
    wait_for_pictures(page)


def wait_for_pictures(page) -> None:
    page.execute_async_script(
        "Promise.all([images.decode(), contours.decode()]).then(() => setTimeout(arguments[0], 20))"
    )


def place(page) -> str:
    return one(page, "#place").text


def orange(page) -> bool:
    """Whether the DWI as seen has a pixel in the colour of the mask."""
    with Image.open(BytesIO(one(page, "#stage canvas").screenshot_as_png)) as picture:
        red, _, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), -1, 0)
    return bool((red - blue > 100).any())


def test_failed_and_warned_cases_come_first_and_columns_sort(opened):
    assert cases(opened) == ["broken", "p2", "p10", "p1"]
    case, volume, *_, warnings = opened.find_elements(By.CSS_SELECTOR, "#cases thead button")
    volume.click()
    assert cases(opened) == ["p2", "p10", "p1", "broken"], "without a number last"
    volume.click()
    assert cases(opened) == ["p1", "p10", "p2", "broken"]
    assert volume.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    case.send_keys(Keys.ENTER)
    case.send_keys(Keys.ENTER)
    assert cases(opened) == ["broken", "p1", "p2", "p10"]
    assert volume.find_element(By.XPATH, "..").get_attribute("aria-sort") is None
    warnings.click()
    assert cases(opened) == ["broken", "p2", "p10", "p1"]


def test_slices_scroll_by_keys_wheel_and_slider(opened):
    open_case(opened, "p2")
    assert one(opened, "#viewer").get_attribute("open")
    assert one(opened, "#case-name").text == "p2"
    assert one(opened, "#said").text.split("\n") == ["one <b>", "two"]
    first = place(opened)
    assert first.startswith("z 3, "), "the slice with the largest area of the mask"
    labels = [canvas.accessible_name for canvas in opened.find_elements(By.CSS_SELECTOR, "#stage canvas")]
    assert labels == [f"{name} of p2, slice {first}, with the mask's contour" for name in ("DWI", "ADC")]
    stage, slider = one(opened, "#stage"), one(opened, "#slice")
    assert opened.switch_to.active_element == stage
    stage.send_keys(Keys.ARROW_UP)
    assert place(opened).startswith("z 4, ")
    stage.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert place(opened).startswith("z 2, ")
    stage.send_keys(Keys.HOME)
    assert place(opened).split(", ")[1].startswith("1 of ")
    for step, expected in ((-100, "2 of "), (100, "1 of ")):
        opened.execute_script(
            "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: arguments[1], cancelable: true}))", stage, step
        )
        assert place(opened).split(", ")[1].startswith(expected)
    slider.send_keys(Keys.ARROW_RIGHT)
    assert place(opened).split(", ")[1].startswith("2 of ")
    assert slider.get_attribute("aria-valuetext") == place(opened)
    assert one(opened, "#case-name").text == "p2"


def test_the_mask_is_shown_and_hidden(opened):
    open_case(opened, "p1")
    stage, mask = one(opened, "#stage"), one(opened, "#mask")
    assert mask.accessible_name == "Mask"
    assert orange(opened)
    mask.click()
    assert not orange(opened)
    stage.send_keys("m")
    assert orange(opened)
    stage.send_keys(Keys.HOME)
    assert not orange(opened), "no lesion in the lowest slice"


def test_other_cases_the_sheet_and_the_end(opened):
    open_case(opened, "p2")
    one(opened, "#stage").send_keys(Keys.ARROW_RIGHT)
    assert one(opened, "#case-name").text == "p10"
    one(opened, "#viewer [data-go='1']").click()
    assert one(opened, "#case-name").text == "p1"
    one(opened, "#viewer [data-go='1']").click()
    assert one(opened, "#case-name").text == "p1", "the last one"
    assert "Volume (mL) 9.00" in one(opened, ".numbers-of-case").text
    one(opened, "#sheet summary").click()
    sheet = one(opened, "#sheet img")
    opened.execute_async_script("arguments[0].decode().then(arguments[1])", sheet)
    assert int(sheet.get_property("naturalWidth")) >= 900
    one(opened, "#stage").send_keys(Keys.ESCAPE)
    assert not one(opened, "#viewer").get_attribute("open")


def test_pictures_are_read_when_they_are_needed_and_nothing_from_a_network(opened):
    open_case(opened, "p10")
    requested = [
        message["params"]["request"]["url"]
        for entry in opened.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in requested if not url.startswith(("data:", "file:"))] == []
    names = {url.rsplit("/", 1)[-1] for url in requested if "/slices/" in url or "/sheets/" in url}
    assert names == {"p1_small.png", "p2_small.png", "p10_small.png", "p10.webp", "p10_mask.png"}


def test_a_phone_needs_no_sideways_scrolling(opened):
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
        open_case(opened, "p2")
        for element in ("#viewer", "#stage canvas", "#controls"):
            box = opened.execute_script("return arguments[0].getBoundingClientRect().toJSON()", one(opened, element))
            assert box["left"] >= 0
            assert box["right"] <= 390
            assert box["bottom"] <= 844
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
