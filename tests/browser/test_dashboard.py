"""The dashboard in a real browser: every page, acting from a page, keys, themes and addresses."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from detectors.learning.suppression import barred
from tests.browser.conftest import Site, open_incident
from watchkeeper.problems import SUFFIX, Problems
from watchkeeper.roles.heartbeat import Heart
from watchkeeper.state.audit import audit_trail

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Show = Callable[[str], None]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "open incident"),
        ("/incidents", "payments: 33 % of requests fail"),
        ("/services?service=payments", "POST /charge"),
        ("/oncall", "The next two weeks"),
        ("/learning", "Human labels"),
        ("/nowhere", "There is no page at /nowhere"),
        ("/incidents/inc-none", "There is no incident inc-none"),
    ],
)
def test_every_page_loads_without_errors(page: Page, show: Show, path: str, words: str) -> None:
    """Nothing on the console, nothing from another host, and the words that the page is for."""
    show(path)
    expect(page.locator("#live")).to_contain_text(words)


def test_an_incident_shows_cause_change_and_timeline(page: Page, site: Site, show: Show) -> None:
    """Cause with evidence and plot, why it paged, the change before it, and the timeline."""
    show(f"/incidents/{site.incident_id}")
    live = page.locator("#live")
    for words in (
        "payments fails 33 % of its requests",
        "Why was I notified?",
        "New endpoint",
        "Roll back the last deploy",
    ):
        expect(live).to_contain_text(words)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    expect(page.locator(".timeline")).to_contain_text("paged")


def test_without_a_session_a_button_changes_nothing(page: Page, site: Site, show: Show) -> None:
    """The page explains how to sign in."""
    show(f"/incidents/{site.incident_id}")
    page.get_by_role("button", name="Decline").click()
    expect(page.get_by_text("Not signed in")).to_be_visible()
    assert site.incidents.get(site.incident_id).proposal_state == "proposed"


def test_somebody_acknowledges_approves_and_resolves_from_the_page(page: Page, site: Site, signed_in: None) -> None:
    """The incident carries the person's name, the approval and the label; the page shows it at once."""
    expect(page.locator("#who")).to_have_text("Ana Sousa")
    incident_id = open_incident(site.incidents, "ledger")  # connected to nothing: an incident of its own
    card = page.locator(".open-incident", has_text="ledger")
    card.get_by_role("button", name="Acknowledge").click()
    expect(card).to_contain_text("Ana Sousa has it")
    card.locator("h3 a").click()
    page.get_by_role("button", name="Review and approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve and run").click()
    expect(page.locator(".proposal")).to_contain_text("approved")
    page.get_by_role("button", name="Resolve").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("#label-cause")).to_have_value("")
    expect(dialog.get_by_role("radio", checked=True)).to_have_count(0)
    dialog.locator("#label-cause").click()
    page.get_by_role("option", name="ledger").click()
    dialog.get_by_role("radio", name="Yes").check()
    dialog.locator("#label-note").fill("the new endpoint was never reachable")
    dialog.get_by_role("button", name="Resolve").click()
    expect(page.locator(".incident-head")).to_contain_text("resolved")
    expect(page.locator("#live")).to_contain_text("the new endpoint was never reachable")
    incident = site.incidents.get(incident_id)
    assert incident.acknowledged_by is not None
    assert (incident.acknowledged_by.name, incident.acknowledged_by.via) == ("Ana Sousa", "dashboard")
    assert (incident.human_state, incident.proposal_state) == ("resolved", "cancelled")
    assert [(label.cause, label.warranted) for label in incident.labels] == [("ledger", True)]


def test_the_theme_follows_the_system_until_somebody_chooses(page: Page, show: Show) -> None:
    """Three states, remembered over a reload, for page and grid alike."""
    root = page.locator("html")
    show("/")
    expect(root).to_have_attribute("data-mantine-color-scheme", "light")
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-mantine-color-scheme", "dark")
    page.locator("#scheme").click()
    expect(root).to_have_attribute("data-mantine-color-scheme", "light")
    page.reload()
    expect(root).to_have_attribute("data-mantine-color-scheme", "light")
    expect(root).to_have_attribute("data-ag-theme-mode", "light")


def test_keys_search_help_move_and_close(page: Page, show: Show) -> None:
    """`/` and `?`, j and k with Enter, g and a letter, and Esc that leaves what was entered."""
    show("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Next row")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("paym")
    page.get_by_role("option", name="payments", exact=True).click()
    page.wait_for_url("**/services?service=payments")
    expect(page.locator("#service-panel")).to_contain_text("POST /charge")
    page.keyboard.press("Escape")
    page.wait_for_url("**/services")
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.wait_for_url("**/incidents")
    expect(page.locator("[data-row]").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/incidents/inc-*")


def test_the_address_holds_range_and_selection(page: Page, show: Show) -> None:
    """The address contains every choice and restores it; a fixed time range stays fixed."""
    show("/services?service=web&range=15m")
    expect(page.locator("#range")).to_have_value("Last 15m")
    expect(page.locator("#service-panel")).to_contain_text("GET /checkout")
    page.locator("#range").click()
    page.get_by_role("option", name="Last 1h").click()
    page.wait_for_url("**/services?**range=1h**")
    assert "service=web" in page.url
    page.locator("#live").get_by_role("link", name="payments", exact=True).first.click()
    page.wait_for_url("**service=payments**")
    show("/services?from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z")
    expect(page.locator("#range")).to_have_value("Thu 1 Jan 09:00 – 10:00")  # Tokyo's wall clock
    expect(page.locator("#live")).to_contain_text("No service has reported in this time range")


def test_on_a_phone_every_page_is_two_presses_away(page: Page, show: Show) -> None:
    """The pages that matter at night stand at the thumb; the others open from More, and Esc closes them."""
    page.set_viewport_size({"width": 360, "height": 740})
    show("/incidents")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    more = page.get_by_role("button", name="More")
    navigation = page.get_by_role("navigation", name="Pages", exact=True)
    more.click()
    expect(navigation.get_by_role("link", name="Overview")).to_be_focused()
    expect(more).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(navigation).to_be_hidden()
    more.click()
    navigation.get_by_role("link", name="Learning").click()
    page.wait_for_url("**/learning")
    expect(navigation).to_be_hidden()


def test_a_form_writes_the_address_and_keeps_what_is_typed_through_a_refresh(page: Page, show: Show) -> None:
    """Words are sent with Enter, stand in the address, and go with back; a refresh takes none of them."""
    show("/incidents?state=open")
    box = page.get_by_label("Words")
    box.fill("nothing like it")
    with page.expect_response(lambda answer: "_dash-update-component" in answer.url):
        pass  # the page was rendered again meanwhile
    expect(box).to_have_value("nothing like it")
    box.press("Enter")
    page.wait_for_url("**/incidents?state=open&q=nothing+like+it")
    expect(page.locator("#live")).to_contain_text("about 'nothing like it'")
    page.go_back()
    found = page.locator("[data-row]", has_text="payments")
    expect(found).to_be_visible()
    expect(page.get_by_label("Words")).to_have_value("")
    page.get_by_label("Words").fill("PAYMENTS ben")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=PAYMENTS+ben")
    expect(found).to_be_visible()


def test_a_slow_answer_is_not_dropped_for_the_next_refresh(page: Page, site: Site) -> None:
    """The first page takes longer than a refresh; it is shown all the same, with its time range."""
    slow = []

    def delay(route: Route) -> None:
        if "range.value" in (route.request.post_data or "") and not slow:
            slow.append(route.request.url)
            time.sleep(7)  # more than one interval of the page's clock
        route.continue_()

    page.route("**/_dash-update-component*", delay)
    page.goto(f"{site.url}/services?range=15m")
    expect(page.locator("#range")).to_have_value("Last 15m")
    expect(page.locator("#live")).to_contain_text("payments")
    assert len(slow) == 1


def test_times_are_the_readers_with_utc_on_hover(page: Page, site: Site, show: Show) -> None:
    """A browser in Tokyo sees Tokyo's time; the title gives UTC."""
    show(f"/incidents/{site.incident_id}")
    time = page.locator(".timeline time").first
    hour = int((time.get_attribute("datetime") or "")[11:13])
    assert f"{(hour + 9) % 24:02d}:" in time.inner_text()
    assert "UTC" in (time.get_attribute("title") or "")


def test_answers_carry_a_content_security_policy(page: Page, site: Site) -> None:
    """Only our own scripts, no framing, compressed scripts that a browser may keep."""
    answer = page.request.get(site.url + "/")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    script = page.request.get(site.url + "/assets/page.js")
    assert script.headers["content-encoding"] == "gzip"
    assert page.request.get(site.url + "/_dash-ws-callback").status != 101


def test_a_refresh_changes_what_changed_and_keeps_what_a_reader_did(page: Page, show: Show) -> None:
    """Ages grow older, while the map keeps its zoom and a cell its focus."""
    show("/services?service=payments")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    graph = "document.querySelector('#map')._cyreg.cy"
    expect(page.locator("#map canvas").first).to_be_attached()
    page.evaluate(  # the map fits itself when its layout is done: a zoom before that is none of a reader's
        "() => new Promise(done => { let was; const look = () => { const now = "
        f"{graph}.zoom(); now === was ? done() : (was = now, setTimeout(look, 1000)); }}; look(); }})"
    )
    for _ in range(3):  # a page that becomes wider or narrower while it is drawn fits the map once more
        page.evaluate(f"{graph}.zoom(1.37)")
        page.locator("#services-grid .ag-cell").first.focus()
        with page.expect_response(lambda r: r.request.method == "POST" and "fresh" in (r.request.post_data or "")):
            page.evaluate("window.dash_clientside.set_props('tick', {data: Date.now()})")
        page.evaluate(  # not wait_for_function: the page's policy forbids what that compiles
            "() => new Promise(done => { const look = () => window.dash_component_api.getLayout('fresh').props.data"
            " ? done() : setTimeout(look, 50); look(); })"
        )
        if page.evaluate(f"{graph}.zoom()") == 1.37:
            break
    assert page.evaluate(f"{graph}.zoom()") == 1.37
    assert "ag-cell" in page.evaluate("document.activeElement.className")
    elements = "window.dash_component_api.getLayout('map').props.elements"
    page.evaluate(f"window.dash_clientside.set_props('map', {{elements: {elements}.slice(0, -1)}})")
    page.evaluate("() => new Promise(done => setTimeout(done, 500))")
    assert page.evaluate(f"{graph}.zoom()") == 1.37, "a call that is no longer made leaves the map as it was"


def test_ages_grow_while_somebody_watches(page: Page, show: Show) -> None:
    """The page follows the present without a reload."""
    show("/")
    age = page.locator(".open-incident", has_text="payments").locator("time").first
    before = age.inner_text()
    expect(age).not_to_have_text(before)


def test_a_suppressed_finding_can_be_reopened(page: Page, site: Site, signed_in: None) -> None:
    """The page shows the reason; a confirmed press ends suppression in that person's name; Cancel changes nothing."""
    page.goto(f"{site.url}/learning")
    row = page.get_by_role("row", name="depot-99 GET /stock")
    expect(row).to_contain_text("judged false")
    for button in ("Cancel", "Never suppress it again"):
        assert barred(site.database) == frozenset()
        row.get_by_role("button", name="Reopen").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("no version suppresses red.latency on depot-99")
        dialog.locator("#reopen-note").fill("customers called")
        dialog.get_by_role("button", name=button).click()
        expect(dialog).to_have_count(0)
    expect(row).to_contain_text("reopened")
    assert barred(site.database) == {("red.latency", "depot-99")}
    (entry,) = [entry for entry in audit_trail(site.database) if entry.action == "finding.reopened"]
    assert (entry.actor.name, entry.actor.via, entry.detail) == ("Ana Sousa", "dashboard", "customers called")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "This detector (red), version 1,"),
        ("/incidents/{incident}?tab=findings", "This detector (red), version 1,"),
        ("/services?service=payments", "Detectors here"),
        ("/learning", "Track record"),
    ],
)
def test_the_detectors_record_is_on_every_page(page: Page, site: Site, show: Show, path: str, words: str) -> None:
    """How often it was right, where a human decides."""
    show(path.format(incident=site.incident_id))
    expect(page.locator("#live")).to_contain_text(words)


@pytest.mark.parametrize("width", [1190, 1300, 1560])
def test_the_services_table_shows_its_last_column(page: Page, show: Show, width: int) -> None:
    """Beside the map or below it, p95 is on the screen."""
    page.set_viewport_size({"width": width, "height": 900})
    show("/services")
    cell = page.locator("#services-grid .ag-cell[col-id='p95'] .number").first
    expect(cell).to_be_visible()
    page.evaluate(  # the grid shares its width out a moment after it is drawn; pytest's timeout ends a wait in vain
        "() => new Promise(done => { const look = () => {"
        " const right = (of) => document.querySelector(of).getBoundingClientRect().right;"
        " right('#services-grid .ag-cell[col-id=p95] .number') <= right('#services-grid') + 1"
        " ? done() : setTimeout(look, 50); }; look(); })"
    )


@pytest.mark.parametrize("width", [1024, 1418, 1440, 1617])
def test_the_overviews_table_fits_beside_the_navigation(page: Page, show: Show, width: int) -> None:
    """Its last column is no further right than its card."""
    page.set_viewport_size({"width": width, "height": 900})
    show("/")
    table = page.locator(".services-table").first
    expect(table).to_be_visible()
    wide = (
        "one => { const box = one.closest('.scroll') || one.parentElement; return box.scrollWidth - box.clientWidth; }"
    )
    assert table.evaluate(wide) <= 1


def test_the_overview_shows_problems_and_hung_roles(page: Page, site: Site, show: Show) -> None:
    """Hostile names are shown as text; both disappear when they are over."""
    run_dir = Path(str(site.database.engine.url.database)).parent / "run"
    problems, signs = Problems(run_dir / f"watch{SUFFIX}"), Heart(run_dir / "watch.heart")
    problems.report("timers", "<img src=x onerror=alert(1)>", ValueError("no such zone"))
    signs.expect("tick", 0.001)
    show("/")
    aside = page.locator(".set-aside")
    expect(aside).to_contain_text("Set aside: 1 item")
    expect(aside).to_contain_text("timers set aside <img src=x onerror=alert(1)>")
    expect(aside).to_contain_text("ValueError: no such zone")
    expect(page.locator("#live")).to_contain_text("watch hung")
    problems.solved("timers")
    signs.rest("tick")
    show("/services")
    show("/")
    expect(page.locator("#live")).to_contain_text("Watchkeeper itself")
    expect(aside).to_have_count(0)
    expect(page.locator("#live")).not_to_contain_text("watch hung")
