"""Whatever is done at auth's doors, its log tells no password, token or key."""

import logging

from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.people import PASSWORD, Person

ANOTHER = "eight large ships ahoy"


def test_no_secret_is_written_into_the_log(client, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    ada, admin = Person.register(client, "ada"), Person.sign_in(client, "admin", ADMIN_PASSWORD)
    told = {PASSWORD, ANOTHER, ADMIN_PASSWORD}

    def keep(answer):
        told.update(
            value
            for name, value in (answer.json or {}).items()
            if name in ("access_token", "refresh_token", "key", "secret") and value
        )
        return answer

    key = keep(client.post("/api-keys", json={"name": "k"}, headers=ada.bearer)).json["key"]
    keep(client.post("/api-keys/exchange", json={"key": key}))
    client.get("/me", headers={"X-API-Key": key})
    keep(client.post("/mfa/totp", headers=ada.bearer))
    change = {"current_password": PASSWORD, "new_password": ANOTHER}
    client.post("/password/change", json=change, headers=ada.bearer)
    pair = keep(ada.refresh()).json
    keep(ada.refresh(pair["refresh_token"]))
    ada.refresh()
    client.post("/login", json={"username": "ada", "password": ANOTHER + "!"})
    client.post("/password/reset", json={"token": key, "new_password": ANOTHER})
    told |= {ada.access_token, ada.refresh_token, admin.access_token, admin.refresh_token}
    for rule in client.application.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            path = str(rule).split("<")[0]
            client.open(path, method=method, headers=admin.bearer, json={"password": PASSWORD})

    written = caplog.text + capfd.readouterr().err
    assert len(told) > 8
    assert [secret for secret in told if secret in written] == []
