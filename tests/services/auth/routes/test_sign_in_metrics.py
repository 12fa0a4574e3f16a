"""Prometheus counter of sign-ins."""

from tests.metrics import read_metrics_page
from tests.services.auth.api_user import PASSWORD


def read_counters(client) -> dict[str, float]:
    lines = read_metrics_page(client).splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("auth_sign_ins_total"))
    return {name.removeprefix("auth_sign_ins_total"): float(value) for name, value in pairs}


def test_sign_ins_are_counted_by_outcome_without_user_names(client, ada):
    assert read_counters(client)['{method="refresh",outcome="refresh_reused"}'] == 0
    client.post("/login", json={"username": "ada", "password": PASSWORD})
    for name in ("ada", "nobody-at-all"):
        client.post("/login", json={"username": name, "password": "not the password"})
    client.post("/refresh", json={"refresh_token": "rt_made-up"})
    client.post("/api-keys/exchange", json={"key": "aas_made-up"})

    counters = read_counters(client)

    assert counters['{method="register",outcome="success"}'] == 1
    assert counters['{method="password",outcome="success"}'] >= 1
    assert counters['{method="password",outcome="invalid_credentials"}'] == 2
    assert counters['{method="refresh",outcome="invalid_refresh_token"}'] == 1
    assert not [name for name in counters if "made-up" in name or "nobody" in name]


def test_rejected_sign_in_after_too_many_attempts_is_counted(client, ada):
    wrong = {"username": "ada", "password": "not the password"}
    # LOGIN_ATTEMPTS allows 10 failures, so the eleventh attempt is rejected.
    statuses = [client.post("/login", json=wrong).status_code for _ in range(11)]

    assert statuses == [401] * 10 + [429]
    assert read_counters(client)['{method="password",outcome="too_many_attempts"}'] == 1
