"""Changes of the e-mail address: pending, confirmed, and announced to the previous address."""

import re

import pytest

from backend.services.auth.app import create_app
from tests.servers import wait_until
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem

OLD, NEW = "ada@example.org", "lovelace@example.org"


@pytest.fixture
def read_mails(tmp_path):
    """Return a function that waits for *count* mails and returns all, by recipient."""

    def read(count: int) -> dict[str, str]:
        folder = tmp_path / "mail"
        wait_until(lambda: len(list(folder.glob("*.eml"))) >= count)
        texts = [file.read_text().replace("=\n", "") for file in folder.glob("*.eml")]
        assert len(texts) == count
        return {re.search(r"^To: (.*)$", text, re.MULTILINE)[1]: text for text in texts}

    return read


@pytest.fixture
def change_email(client, ada):
    def send_change(email):
        return client.patch("/me", json={"email": email}, headers=ada.auth_headers)

    return send_change


def find_token(mail):
    return re.search(r"evt_[\w-]+", mail)[0]


def test_new_address_is_pending_until_it_is_confirmed(client, ada, change_email, read_mails):
    changed = change_email(NEW)
    mails = read_mails(2)

    assert (changed.json["email"], changed.json["pending_email"]) == (OLD, NEW)
    assert "evt_" not in mails[OLD]
    assert NEW in mails[OLD]
    token = {"token": find_token(mails[NEW])}
    assert re.search(rf"http://\S+/console/confirm-email#{token['token']}\n", mails[NEW])
    assert client.post("/email/confirm", json=token).status_code == 204
    me = ada.get("/me").json
    assert (me["email"], me["pending_email"]) == (NEW, None)
    assert get_problem(client.post("/email/confirm", json=token)) == (400, "invalid_email_token")


def test_reset_mail_is_not_sent_to_a_pending_address(client, ada, change_email, read_mails):
    change_email(NEW)
    read_mails(2)

    client.post("/password/forgot", json={"email": NEW})
    client.post("/password/forgot", json={"username": "ada"})

    mails = read_mails(3)
    assert "prt_" not in mails[NEW]


def test_confirmation_expires_after_a_day(client, change_email, read_mails, clock, ada):
    change_email(NEW)
    token = {"token": find_token(read_mails(2)[NEW])}
    clock.advance(hours=24)

    assert get_problem(client.post("/email/confirm", json=token)) == (400, "invalid_email_token")
    assert ada.get("/me").json["email"] == OLD


def test_second_change_invalidates_the_first_token(client, change_email, read_mails):
    change_email(NEW)
    first = {"token": find_token(read_mails(2)[NEW])}

    change_email("third@example.org")

    assert get_problem(client.post("/email/confirm", json=first)) == (400, "invalid_email_token")


def test_changing_back_to_the_current_address_withdraws_the_change(
    client, ada, change_email, read_mails
):
    change_email(NEW)
    token = {"token": find_token(read_mails(2)[NEW])}

    assert change_email(OLD).json["pending_email"] is None

    assert get_problem(client.post("/email/confirm", json=token)) == (400, "invalid_email_token")


def test_address_that_another_account_took_meanwhile_is_not_set(
    client, ada, change_email, read_mails
):
    change_email(NEW)
    token = {"token": find_token(read_mails(2)[NEW])}
    ApiUser.register(client, "bob", email=NEW)

    assert get_problem(client.post("/email/confirm", json=token)) == (409, "email_taken")
    assert ada.get("/me").json["email"] == OLD


def test_changes_are_limited_so_that_no_mailbox_is_flooded(change_email):
    statuses = [change_email(f"victim+{n}@example.org").status_code for n in range(6)]

    assert statuses == [200] * 5 + [429]


def test_removed_address_gets_a_notice(change_email, read_mails):
    assert change_email(None).json["email"] is None

    assert "removed" in read_mails(1)[OLD]


def test_confirmed_change_invalidates_reset_tokens_of_the_previous_address(
    client, change_email, read_mails
):
    client.post("/password/forgot", json={"username": "ada"})
    reset = re.search(r"prt_[\w-]+", read_mails(1)[OLD])[0]
    change_email(NEW)
    client.post("/email/confirm", json={"token": find_token(read_mails(3)[NEW])})

    body = {"token": reset, "new_password": "another password 7"}
    assert get_problem(client.post("/password/reset", json=body)) == (400, "invalid_reset_token")


def test_change_is_refused_without_a_mail_server(make_settings, clock):
    secret = "9f2LmQx7Zk4VtB8nRw3YcD6hJs5GpA1e"
    settings = make_settings(
        APP_ENV="production",
        SECRET_KEY=secret,
        JWT_SECRET_KEY=secret[::-1],
        ADMIN_PASSWORD="seven small boats on a lake",
    )
    client = create_app(settings, clock.now).test_client()
    body = {"username": "ada", "password": "seven small boats on a sea", "email": OLD}
    headers = {
        "Authorization": f"Bearer {client.post('/register', json=body).json['access_token']}"
    }

    response = client.patch("/me", json={"email": NEW}, headers=headers)

    assert get_problem(response) == (409, "mail_unavailable")
    assert client.get("/me", headers=headers).json["pending_email"] is None


def test_tables_contain_no_confirmation_token(client, change_email, read_mails, execute):
    change_email(NEW)
    token = find_token(read_mails(2)[NEW])

    assert token not in str(execute("SELECT * FROM pending_emails"))
    wait_until(lambda: execute("SELECT * FROM outgoing_mails") == [])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/password/change",
            {"current_password": PASSWORD, "new_password": "nine quiet harbours"},
        ),
        ("/logout/all", None),
    ],
)
def test_pending_address_ends_with_the_password_or_all_sessions(
    client, ada, change_email, read_mails, path, body
):
    change_email(NEW)
    token = {"token": find_token(read_mails(2)[NEW])}

    assert client.post(path, json=body, headers=ada.auth_headers).status_code == 204

    assert get_problem(client.post("/email/confirm", json=token)) == (400, "invalid_email_token")


def test_unverified_address_of_the_registration_can_be_confirmed(client, read_mails, execute):
    body = {"username": "bob", "password": PASSWORD, "email": OLD}
    bob = client.post("/register", json=body).json
    headers = {"Authorization": f"Bearer {bob['access_token']}"}

    client.patch("/me", json={"email": OLD}, headers=headers)
    token = {"token": find_token(read_mails(1)[OLD])}

    assert client.post("/email/confirm", json=token).status_code == 204
    assert client.get("/me", headers=headers).json["email"] == OLD
    ((is_verified,),) = execute("SELECT email_verified FROM users WHERE username = 'bob'")
    assert is_verified
