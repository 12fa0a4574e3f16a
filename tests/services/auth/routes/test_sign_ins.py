"""How sign-ins end is a number for Prometheus."""

from tests.services.auth.people import PASSWORD


def counted(client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("auth_sign_ins_total"))
    return {name.removeprefix("auth_sign_ins_total"): float(value) for name, value in pairs}


def test_sign_ins_count_by_how_they_end_and_never_by_whom(client, ada):
    assert counted(client)['{method="refresh",outcome="refresh_reused"}'] == 0
    client.post("/login", json={"username": "ada", "password": PASSWORD})
    for name in ("ada", "nobody-at-all"):
        client.post("/login", json={"username": name, "password": "not the password"})
    client.post("/refresh", json={"refresh_token": "rt_made-up"})
    client.post("/api-keys/exchange", json={"key": "aas_made-up"})

    found = counted(client)

    assert found['{method="register",outcome="success"}'] == 1
    assert found['{method="password",outcome="success"}'] >= 1
    assert found['{method="password",outcome="invalid_credentials"}'] == 2
    assert found['{method="refresh",outcome="invalid_refresh_token"}'] == 1
    assert not [name for name in found if "made-up" in name or "nobody" in name]


def test_being_locked_out_counts_apart(client, ada):
    wrong = {"username": "ada", "password": "not the password"}
    while client.post("/login", json=wrong).status_code != 429:
        pass

    assert counted(client)['{method="password",outcome="too_many_attempts"}'] == 1
