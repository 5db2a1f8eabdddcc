"""The page at /docs in a real browser: its content, with the keyboard, and on a phone."""

import json
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserType,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from infra.local.install import installed_chromium, packed_chromium
from tests.e2e.conftest import Stack

OPTIONS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The npm package is built for Lambda, where a browser has no sandbox and no second process.
PACKED_OPTIONS = ("--no-sandbox", "--single-process", "--no-zygote", "--disable-gpu")
PATIENCE_MS = 30_000
MAX_TABS = 60
PHONE: ViewportSize = {"width": 360, "height": 800}


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserType]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture
def browser(chromium: BrowserType) -> Iterator[Browser]:
    """A new browser for each test: the packed one ends with its first context."""
    installed = installed_chromium()
    packed = None if installed else packed_chromium()
    if installed:
        browser = chromium.launch(executable_path=installed, args=OPTIONS)
    elif packed:
        program, variables = packed
        options = [*OPTIONS, *PACKED_OPTIONS]
        environment: dict[str, str | float | bool] = {**os.environ, **variables}
        browser = chromium.launch(executable_path=program, args=options, env=environment)
    else:
        pytest.skip("no browser: the npm package has one for x86-64 only; install `chromium`")
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A tab. At its end, it has sent no request to another origin and has logged no violation of a policy."""
    requested: list[str] = []
    logged: list[str] = []
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    yield page
    origin = "{0.scheme}://{0.netloc}/".format(urlsplit(stack.base_url))
    assert [url for url in requested if not url.startswith((origin, "data:"))] == []
    assert logged == []


@pytest.fixture
def docs(page: Page, stack: Stack) -> Page:
    """The page after it has loaded the document."""
    _show(page, stack)
    return page


def _show(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.base_url}/docs")
    expect(page.locator("article").first).to_be_visible()


def test_it_shows_every_operation_of_the_served_document(docs: Page, stack: Stack) -> None:
    document = httpx.get(f"{stack.base_url}/openapi.json", timeout=60).json()
    served = [
        (method.upper(), path, operation["summary"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    shown = [
        tuple(row.locator(part).inner_text() for part in (".method", ".path", ".title"))
        for row in docs.locator("article").all()
    ]
    assert sorted(shown) == sorted(served)
    assert docs.locator("#nav .method").count() == len(served)
    assert docs.locator("#problems ~ table tbody tr").count() == len(document["x-problems"])


def test_an_operation_is_opened_by_its_hash(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.base_url}/docs#create_message")
    inside = page.locator("#create_message .inside")
    expect(inside.get_by_role("heading", name="Request body")).to_be_visible()
    expect(inside).to_contain_text("at most 20000 characters")


def test_a_request_can_be_sent_with_the_keyboard_alone(docs: Page) -> None:
    _tab_to(docs, "#filter")
    docs.keyboard.type("get /health")
    expect(docs.locator("#matches")).to_have_text("2 operations match")
    _tab_to(docs, "article h3 button")
    docs.keyboard.press("Enter")
    opened = docs.locator("article", has=docs.locator("[aria-expanded=true]"))
    expect(opened.locator(".path")).to_have_text("/health")
    _tab_to(docs, ".try > summary")
    docs.keyboard.press("Enter")
    _tab_to(docs, ".send")
    docs.keyboard.press("Enter")
    expect(opened.get_by_role("status")).to_contain_text("200")
    body = opened.get_by_label("Body of the response").inner_text()
    assert json.loads(body) == {"status": "ok"}


def test_a_credential_is_stored_in_the_tab_and_not_shown_in_the_command(
    docs: Page, stack: Stack
) -> None:
    docs.locator("#nav a[href='#create_application']").click()
    form = docs.locator("#create_application .try")
    form.locator("summary").first.click()
    form.get_by_label("Credential: admin key").fill(stack.file["admin_key"])
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_contain_text("201")
    assert "$ADMIN" in form.inner_text()
    assert stack.file["admin_key"] not in form.inner_text()
    assert stack.file["admin_key"] in docs.evaluate("JSON.stringify(sessionStorage)")
    assert stack.file["admin_key"] not in docs.evaluate("JSON.stringify(localStorage)")


def test_the_page_is_not_wider_than_a_phone(docs: Page) -> None:
    docs.set_viewport_size(PHONE)
    for button in docs.locator("article h3 button").all():
        button.click()
    docs.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    assert docs.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_the_chosen_theme_is_remembered(docs: Page, stack: Stack) -> None:
    docs.get_by_role("switch", name="Dark").click()
    _show(docs, stack)
    expect(docs.get_by_role("switch", name="Dark")).to_be_checked()


def test_markup_in_the_document_is_shown_as_text(page: Page, stack: Stack) -> None:
    planted = "<img src=x onerror=alert(1)><script>alert(2)</script>"

    def with_markup(route: Route) -> None:
        document = route.fetch().json()
        document["info"]["description"] = planted
        document["paths"]["/health"]["get"]["summary"] = planted
        route.fulfill(json=document)

    page.route("**/openapi.json", with_markup)
    _show(page, stack)
    expect(page.locator(".intro")).to_have_text(planted)
    expect(page.locator("#get_health .title")).to_have_text(planted)
    assert page.locator("main img, main script").count() == 0


def _tab_to(page: Page, wanted: str) -> None:
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        if page.locator(f":focus:is({wanted})").count():
            return
    raise AssertionError(f"{MAX_TABS} presses of Tab do not reach {wanted}")
