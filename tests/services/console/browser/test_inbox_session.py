"""A session of the team inbox on a running suite, with a simulated WhatsApp as the provider.

A manager connects the channel, a customer writes, the agent answers, two colleagues claim at the
same time, one answers, the token is revoked and renewed, and the conversation is resolved.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from backend.services.chat.jobs.simulation.providers import WhatsAppSimulator
from backend.services.chat.jobs.simulation.server import StoredMessage
from backend.services.chat.jobs.simulation.webhooks import build_message, build_status
from tests.services.console.browser.console_page import ConsolePage, Person
from tests.suite.conftest import PASSWORD, ROOT, Suite, UserClient, running_suite

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow, pytest.mark.timeout(400)]

_CUSTOMER = 7


@pytest.fixture(scope="module")
def provider() -> Iterator[WhatsAppSimulator]:
    with WhatsAppSimulator() as provider:
        yield provider


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, provider: WhatsAppSimulator) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("inbox")
    with running_suite(folder, LLM="embedded", CHAT_PRIVATE_HOSTS=provider.host) as suite:
        yield suite


@pytest.fixture(scope="module")
def team(suite: Suite) -> dict[str, UserClient]:
    """A manager and two colleagues in one tenant, by role and name."""
    command = ["users", "create", "inbox-admin", "--role", "admin", "--json"]
    created = subprocess.run(
        [sys.executable, "-m", "backend", *command],
        cwd=ROOT,
        env=suite.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    password = json.loads(created.stdout)["password"]
    admin = sign_in(suite, "inbox-admin", password)
    tenant = admin("POST", "/auth/tenants", json={"name": "Support team"}).json()["id"]
    admin = sign_in(suite, "inbox-admin", password)  # a token names the tenants of its start
    members = {}
    for name, role in (("mia", "tenant_admin"), ("grace", "support"), ("alan", "support")):
        body = {"username": name, "password": PASSWORD, "roles": [role]}
        headers = {"X-Tenant-ID": tenant}
        response = admin("POST", "/auth/users", json=body, headers=headers)
        assert response.status_code == 201, response.text
        members[name] = sign_in(suite, name, PASSWORD)
    return members


def sign_in(suite: Suite, username: str, password: str) -> UserClient:
    body = {"username": username, "password": password}
    response = requests.post(f"{suite.url}/auth/login", json=body, timeout=30)
    assert response.status_code == 200, response.text
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
    return UserClient(suite.url, session, response.json())


def connect_channel(page: Page, manager: UserClient, provider: WhatsAppSimulator) -> str:
    """Connect the simulated provider with the form. Returns the id of the account."""
    key = manager(
        "POST",
        "/auth/service-accounts",
        json={"name": "whatsapp", "permissions": ["agent:query", "rag:read"]},
    ).json()["key"]
    page.get_by_role("button", name="WhatsApp").click()
    secrets = provider.get_credentials()
    page.get_by_label("Phone number ID").fill(provider.PHONE)
    page.get_by_label("Access token").fill("a wrong token")
    page.get_by_label("App secret").fill(secrets["app_secret"])
    page.get_by_label("Verify token").fill(secrets["verify_token"])
    page.get_by_label("Key of a service account").fill(key)
    page.get_by_role("button", name="Continue").click()
    url = page.get_by_role("textbox", name="Webhook URL").input_value()
    account_id = url.rpartition("/")[2]
    # The form has no field for the address of the provider's API.
    settings = provider.get_settings()
    manager("PATCH", f"/chat/accounts/{account_id}", json={"settings": settings})
    page.get_by_role("button", name="Continue").click()
    result = page.locator(".check-result")
    expect(result).to_contain_text("The provider refuses the key.")
    credentials = {"access_token": secrets["access_token"]}
    manager("PATCH", f"/chat/accounts/{account_id}", json={"credentials": credentials})
    page.get_by_role("button", name="Check again").click()
    expect(result).to_contain_text("The channel is connected.")
    return account_id


class Customer:
    """Writes through the provider, and reports what it has received."""

    def __init__(self, suite: Suite, provider: WhatsAppSimulator, account_id: str) -> None:
        self._url = f"{suite.url}/webhook/whatsapp/{account_id}"
        self._provider = provider

    def write(self, text: str) -> None:
        self._post(build_message(self._provider, self._url, _CUSTOMER, text))

    def wait_for(self, text: str) -> StoredMessage:
        for _ in range(600):
            for message in self._provider.messages:
                if text in message.text:
                    return message
            time.sleep(0.1)
        raise AssertionError(f"The provider has no message with {text!r}")

    def report(self, message: StoredMessage, status: str) -> None:
        self._post(build_status(self._provider, self._url, message, status))

    def _post(self, webhook: Any) -> None:
        response = requests.post(
            self._url, data=webhook.body, headers=dict(webhook.headers), timeout=30
        )
        assert response.status_code == 200, response.text


def test_team_answers_a_customer_from_connection_to_resolution(
    suite: Suite, provider: WhatsAppSimulator, team: dict[str, UserClient], new_console: Any
) -> None:
    manager: ConsolePage = new_console(Person("mia"))
    manager.open("/settings/channels/new")
    account_id = connect_channel(manager.page, team["mia"], provider)
    customer = Customer(suite, provider, account_id)

    consoles: dict[str, ConsolePage] = {
        name: new_console(Person(name)) for name in ("grace", "alan")
    }
    grace, alan = consoles["grace"].page, consoles["alan"].page
    for console in consoles.values():
        console.open("/inbox")
        expect(console.page.get_by_text("Live", exact=True)).to_be_visible()

    # A new conversation appears without a reload, and the agent answers it.
    customer.write("Where is my parcel 4711?")
    for page in (grace, alan):
        row = page.locator(".inbox-row")
        expect(row).to_contain_text("parcel 4711", timeout=30_000)
    grace.locator(".inbox-row a").click()
    expect(grace.locator(".inbox-message.outbound")).to_be_visible(timeout=60_000)
    customer.write("I would like to speak with a person.")
    expect(grace.locator(".inbox-message", has_text="with a person")).to_be_visible()

    # Alan does not see that Grace has claimed the conversation: his stream is interrupted.
    consoles["alan"].expect_failed_requests()
    consoles["alan"].expect_statuses(409)
    alan.route("**/chat/conversations/*/events", lambda route: route.abort())
    alan.locator(".inbox-row a").click()
    claim = alan.get_by_role("button", name="Claim")
    expect(claim).to_be_visible()
    grace.get_by_role("button", name="Claim").click()
    expect(grace.locator(".inbox-head")).to_contain_text("You answer")
    claim.click()
    expect(alan.get_by_role("alert").filter(has_text="grace has claimed")).to_be_visible()
    expect(alan.locator(".inbox-composer")).to_contain_text("grace has this conversation")
    alan.unroute("**/chat/conversations/*/events")

    # A note stays in the team; the answer reaches the customer, and its states come back.
    alan.get_by_role("button", name="Internal note").click()
    alan.get_by_role("textbox", name="Internal note").fill("The carrier is late today.")
    alan.get_by_role("button", name="Save note").click()
    expect(grace.locator(".inbox-message.note")).to_contain_text("The carrier is late today.")
    grace.get_by_label("Answer", exact=True).fill("Hello! It arrives tomorrow.")
    grace.keyboard.press("Enter")
    sent = customer.wait_for("It arrives tomorrow")
    answer = grace.locator(".inbox-message", has_text="It arrives tomorrow")
    expect(answer).to_contain_text("Sent")
    customer.report(sent, "delivered")
    expect(answer).to_contain_text("Delivered")
    customer.report(sent, "read")
    expect(answer).to_contain_text("Read")
    assert all("carrier is late" not in message.text for message in provider.messages)

    # The token is revoked: the answer waits, and both sides see why, until the key is replaced.
    provider.is_revoked = True
    grace.get_by_label("Answer", exact=True).fill("Is there anything else?")
    grace.keyboard.press("Enter")
    waiting = grace.locator(".inbox-composer .warning-box")
    expect(waiting).to_contain_text("the provider refuses its token", timeout=30_000)
    expect(waiting).to_contain_text("Messages that wait: 1.")
    manager.open("/settings/channels")
    row = manager.page.get_by_role("row", name="WhatsApp")
    expect(row).to_contain_text("Token revoked")
    expect(row).to_contain_text("Messages that wait: 1.")
    provider.is_revoked = False
    manager.page.get_by_role("button", name="Actions for WhatsApp").click()
    manager.page.get_by_role("menuitem", name="Replace keys").click()
    dialog = manager.page.get_by_role("dialog", name="Replace keys of WhatsApp")
    dialog.get_by_label("Access token").fill(provider.get_credentials()["access_token"])
    dialog.get_by_role("button", name="Replace keys").click()
    expect(row).to_contain_text("Connected")
    customer.wait_for("Is there anything else?")
    expect(waiting).to_have_count(0, timeout=30_000)

    # Resolved conversations leave the list of open ones everywhere.
    grace.get_by_role("button", name="Resolve").click()
    expect(grace.locator(".inbox-head")).to_contain_text("Resolved")
    for page in (grace, alan):
        expect(page.locator(".inbox-row")).to_have_count(0)
    customer.write("Thank you!")
    expect(alan.locator(".inbox-row")).to_contain_text("Thank you!", timeout=30_000)
