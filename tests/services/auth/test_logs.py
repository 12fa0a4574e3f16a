"""The log never contains passwords, tokens or keys, whichever route is called."""

import logging

from tests.services.auth.api_user import PASSWORD, ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD

NEW_PASSWORD = "eight large ships ahoy"


def test_log_contains_no_secrets(client, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    ada, admin = ApiUser.register(client, "ada"), ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    secrets = {PASSWORD, NEW_PASSWORD, ADMIN_PASSWORD}

    def collect_secrets(response):
        secrets.update(
            value
            for name, value in (response.json or {}).items()
            if name in ("access_token", "refresh_token", "key", "secret") and value
        )
        return response

    key = collect_secrets(
        client.post("/api-keys", json={"name": "k"}, headers=ada.auth_headers)
    ).json["key"]
    collect_secrets(client.post("/api-keys/exchange", json={"key": key}))
    client.get("/me", headers={"X-API-Key": key})
    channel = {"name": "c", "permissions": ["rag:read"]}
    account = collect_secrets(
        client.post("/service-accounts", json=channel, headers=admin.auth_headers)
    ).json
    rotate = f"/service-accounts/{account['id']}/rotate"
    collect_secrets(client.post(rotate, headers=admin.auth_headers))
    collect_secrets(client.post("/api-keys/exchange", json={"key": account["key"]}))
    client.get("/me", headers={"X-API-Key": account["key"]})
    collect_secrets(client.post("/mfa/totp", headers=ada.auth_headers))
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    client.post("/password/change", json=change, headers=ada.auth_headers)
    pair = collect_secrets(ada.refresh()).json
    collect_secrets(ada.refresh(pair["refresh_token"]))
    ada.refresh()
    client.post("/login", json={"username": "ada", "password": NEW_PASSWORD + "!"})
    client.post("/password/reset", json={"token": key, "new_password": NEW_PASSWORD})
    secrets |= {ada.access_token, ada.refresh_token, admin.access_token, admin.refresh_token}
    for rule in client.application.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            path = str(rule).split("<")[0]
            client.open(
                path, method=method, headers=admin.auth_headers, json={"password": PASSWORD}
            )

    output = caplog.text + capfd.readouterr().err
    assert len(secrets) > 8
    assert [secret for secret in secrets if secret in output] == []
