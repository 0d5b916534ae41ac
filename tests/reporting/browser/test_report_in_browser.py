"""The page as a reader uses it: sorting, filtering, opening cases, printing, on a phone, from the disk alone."""

import base64
import json
import math
import re

import pytest

from nnunetv2_mscs.evaluation.catalogue import METRICS

By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys


def one(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector)


def names(page) -> list[str]:
    """Names of the cases in the table, as shown."""
    return page.execute_script(
        "return [...document.querySelectorAll('#case-table tbody tr:not([hidden]) th.name')]"
        ".map(cell => cell.firstChild.textContent.trim())"
    )


def heading(page, key):
    return one(page, f"#case-table th[data-key='{key}']")


def sort_by(page, key) -> str:
    """Click a column's title; returns aria-sort."""
    heading(page, key).find_element(By.TAG_NAME, "button").click()
    return heading(page, key).get_attribute("aria-sort")


def fill(page, field, text) -> None:
    page.execute_script(
        "const field = document.querySelector(`.filters [name=${arguments[0]}]`); field.value = arguments[1];"
        "field.dispatchEvent(new Event('input', {bubbles: true}))",
        field,
        text,
    )


def choose(page, field, value) -> None:
    one(page, f".filters [name={field}] option[value='{value}']").click()


def focused(page, element) -> bool:
    """Whether an element gets the focus; a dialog tells that it was closed a little later than it closes."""
    return page.execute_async_script(
        "const [element, done] = arguments, end = performance.now() + 3000;"
        "const look = () => document.activeElement === element ? done(true)"
        " : performance.now() > end ? done(false) : setTimeout(look, 10); look()",
        element,
    )


def values(evaluation, column) -> dict[str, float]:
    return {row["case"]: row[column] for row in evaluation.rows()}


@pytest.mark.parametrize("column", ["dice", "hd95_mm", "volume_difference_ml"])
def test_a_column_sorts_both_ways_with_undefined_values_last(opened, evaluation, column):
    of = values(evaluation, column)
    first = sort_by(opened, "iou") and sort_by(opened, column)
    assert first == ("ascending" if METRICS[column].better == "higher" else "descending")
    for direction in (first, sort_by(opened, column)) if first == "ascending" else (first,):
        assert direction in ("ascending", "descending")
    shown = [of[name] for name in names(opened)]
    defined = [value for value in shown if not math.isnan(value)]
    assert len(shown) == len(of)
    assert all(math.isnan(value) for value in shown[len(defined) :])
    assert defined == sorted(defined, reverse=heading(opened, column).get_attribute("aria-sort") == "descending")
    turned = sort_by(opened, column)
    assert turned == heading(opened, column).get_attribute("aria-sort")
    again = [of[name] for name in names(opened)]
    assert [value for value in again if not math.isnan(value)] == defined[::-1]
    assert all(math.isnan(value) for value in again[len(defined) :])


def test_every_metric_can_be_sorted_by_and_then_shows_its_column(opened, evaluation):
    options = opened.find_elements(By.CSS_SELECTOR, ".filters [name=sort] option")
    assert {option.get_attribute("value") for option in options} == set(METRICS)
    assert not heading(opened, "pq_iou25").is_displayed()
    choose(opened, "sort", "pq_iou25")
    assert heading(opened, "pq_iou25").is_displayed()
    of = values(evaluation, "pq_iou25")
    assert [of[name] for name in names(opened)] == sorted(of.values())
    choose(opened, "sort", "dice")
    assert not heading(opened, "pq_iou25").is_displayed()
    one(opened, ".filters [name=extra]").click()
    assert all(heading(opened, column).is_displayed() for column in METRICS)


def test_sorting_by_the_keyboard(opened):
    button = heading(opened, "case").find_element(By.TAG_NAME, "button")
    button.send_keys(Keys.ENTER)
    numbers = [int(name.split("_")[1]) for name in names(opened) if name.startswith("case_")]
    assert numbers == sorted(numbers)  # 2 before 10
    assert heading(opened, "dice").get_attribute("aria-sort") == "none"


def test_filters_narrow_the_table_and_can_be_taken_back(opened, evaluation):
    everyone = names(opened)
    fill(opened, "name", "CASE_1")
    assert sorted(names(opened)) == sorted(name for name in everyone if "case_1" in name)
    fill(opened, "name", "")
    choose(opened, "state", "missed")
    assert names(opened) == [r["case"] for r in evaluation.rows() if r["prediction_empty"] and not r["reference_empty"]]
    choose(opened, "state", "none")
    assert sorted(names(opened)) == sorted(r["case"] for r in evaluation.rows() if r["reference_empty"])
    choose(opened, "state", "")
    fill(opened, "below", "0.5")
    assert set(names(opened)) == {name for name, dice in values(evaluation, "dice").items() if dice < 0.5}
    choose(opened, "fold", "")
    fill(opened, "name", "no such case")
    assert names(opened) == []
    assert one(opened, ".nothing").is_displayed()
    one(opened, ".filters [type=reset]").click()
    opened.execute_async_script("setTimeout(arguments[0], 50)")
    assert names(opened) == everyone
    assert one(opened, ".count").text == f"{len(everyone)} of {len(everyone)} rows"


def test_a_case_opens_larger_and_leads_to_its_neighbours(opened):
    order = names(opened)
    opener = one(opened, "#case-table tbody tr:not([hidden]) button")
    opener.click()
    dialog, title = one(opened, "dialog"), one(opened, "#dialog-title")
    picture = one(opened, "dialog figure img")
    assert dialog.get_attribute("open")
    assert title.text == " ".join(order[0].split())
    opened.execute_async_script("arguments[0].decode().then(arguments[1])", picture)
    thumbnail = opener.find_element(By.TAG_NAME, "img")
    assert int(picture.get_property("naturalWidth")) > 2 * int(thumbnail.get_property("naturalWidth")) > 0
    one(opened, "dialog [data-go='1']").click()
    assert title.text == order[1]
    one(opened, "dialog").send_keys(Keys.ARROW_RIGHT)
    assert title.text == order[2]
    one(opened, "dialog [data-go='-1']").click()
    one(opened, "dialog").send_keys(Keys.ARROW_LEFT)
    one(opened, "dialog").send_keys(Keys.ARROW_LEFT)
    assert title.text == order[-1]
    one(opened, "dialog").send_keys(Keys.ESCAPE)
    assert not dialog.get_attribute("open")
    assert focused(opened, opener)


def test_full_size_by_the_keyboard_keeps_the_case(opened):
    one(opened, "#case-table tbody tr:not([hidden]) button").click()
    title, toggle = one(opened, "#dialog-title"), one(opened, "dialog .full-size")
    case = title.text
    toggle.send_keys(Keys.ENTER)
    assert toggle.get_attribute("aria-pressed") == "true"
    assert "natural" in one(opened, "dialog figure img").get_attribute("class")
    toggle.send_keys(Keys.ARROW_RIGHT)
    assert title.text == case
    toggle.send_keys(Keys.ENTER)
    assert toggle.get_attribute("aria-pressed") == "false"
    toggle.send_keys(Keys.ARROW_RIGHT)
    assert title.text != case
    one(opened, "dialog [data-go=close]").click()


def test_the_dialog_says_why_a_value_is_undefined(opened, evaluation):
    for row in evaluation.rows():
        if row["reference_empty"] or row["prediction_empty"]:
            opened.execute_script(
                "document.querySelectorAll('#case-table [data-open]').forEach(button => {"
                "if (button.closest('tr').querySelector('th').firstChild.textContent.trim() === arguments[0])"
                " button.click()})",
                row["case"],
            )
            undefined = any(math.isnan(row[column]) for column in METRICS)
            assert ("not defined" in one(opened, ".why").text) == undefined
            one(opened, "dialog [data-go=close]").click()


def test_a_click_anywhere_in_a_row_opens_it_and_leaves_the_focus_there(opened):
    row = one(opened, "#case-table tbody tr:nth-child(2)")
    row.find_element(By.CSS_SELECTOR, "td.number").click()
    assert one(opened, "#dialog-title").text == names(opened)[1]
    one(opened, "dialog").send_keys(Keys.ESCAPE)
    assert focused(opened, row.find_element(By.TAG_NAME, "button"))


def test_neighbours_are_those_of_the_filtered_table(opened):
    fill(opened, "name", "case_1")
    order = names(opened)
    one(opened, "#case-table tbody tr:not([hidden]) button").click()
    seen = []
    for _ in order:
        seen.append(one(opened, "#dialog-title").text)
        one(opened, "dialog [data-go='1']").click()
    assert seen == order
    one(opened, "dialog [data-go=close]").click()


def test_cards_and_warnings_open_their_case(opened, evaluation):
    card = one(opened, "#worst .card button")
    name = card.find_element(By.CSS_SELECTOR, ".card-title").text
    card.click()
    assert one(opened, "#dialog-title").text == name
    assert values(evaluation, "dice")[name] == min(values(evaluation, "dice").values())
    one(opened, "dialog").send_keys(Keys.ESCAPE)
    one(opened, "nav a[href='#warnings']").click()
    link = one(opened, ".notice [data-case]")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    assert one(opened, "#dialog-title").text == link.text
    one(opened, "dialog [data-go=close]").click()


def test_names_are_text_and_nothing_else(opened):
    assert opened.execute_script("return window.hurt") is None
    assert sum("{{ 7 * 7 }}" in name and "<script>" in name for name in names(opened)) == 1


def test_two_models_are_filtered_and_lead_to_each_other(opened_of_two, evaluations):
    page = opened_of_two
    assert len(names(page)) == len(evaluations[0].cases)
    one(page, "#case-table tbody tr:not([hidden]) button").click()
    case = one(page, "#dialog-title").text
    assert one(page, ".dialog-detail").text.startswith("MSCSTrainer")
    one(page, ".others button").click()
    assert one(page, "#dialog-title").text == case
    assert one(page, ".dialog-detail").text.startswith("nnUNetTrainer")
    one(page, "dialog [data-go=close]").click()
    one(page, ".filters [name=model] option[value='']").click()
    assert len(names(page)) == 2 * len(evaluations[0].cases)


def test_nothing_is_asked_of_any_network(opened):
    opened.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    requested = [
        message["params"]["request"]["url"]
        for entry in opened.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert requested
    assert [url for url in requested if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in requested if url.startswith("file:")]) == 1


def test_the_methods_are_copied_for_a_paper(opened):
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    opened.execute_cdp_cmd("Browser.grantPermissions", {"permissions": permissions})
    button = one(opened, "#methods button.copy")
    button.click()
    said = "const [button, done] = arguments; setTimeout(() => done(button.textContent), 300)"
    assert opened.execute_async_script(said, button) == "Copied"
    pasted = opened.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    paragraphs = opened.find_elements(By.CSS_SELECTOR, "#methods-text p")
    assert pasted.split("\n\n") == [paragraph.get_property("textContent") for paragraph in paragraphs]
    assert len(paragraphs) > 4


def test_a_phone_needs_no_sideways_scrolling(opened):
    metrics = {"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
        one(opened, ".card button").click()
        assert opened.execute_script("return document.querySelector('dialog').getBoundingClientRect().width") <= 360
        sheet = one(opened, "dialog figure img")
        opened.execute_async_script("arguments[0].decode().then(arguments[1])", sheet)
        assert sheet.size["height"] == pytest.approx(0.6 * 780, abs=2)
        assert opened.execute_script(
            "const box = arguments[0].parentElement; return box.scrollWidth > box.clientWidth", sheet
        )
        one(opened, "dialog [data-go=close]").click()
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_prints_with_everything_opened_and_nothing_cut(opened):
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        opened.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        assert opened.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
        too_wide = (
            "return [...document.querySelectorAll('table')].map(t => t.scrollWidth - t.parentElement.clientWidth)"
        )
        # A4 less its margins, at 96 pixels an inch
        paper = {"width": 703, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
        assert max(opened.execute_script(too_wide)) <= 0
        assert not one(opened, ".filters").is_displayed()
        # Chromium leaves buttons out of a heading that it repeats on every page: it has to be text.
        assert not heading(opened, "dice").find_element(By.TAG_NAME, "button").is_displayed()
        assert heading(opened, "dice").text == "Dice"
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    pdf = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 3
