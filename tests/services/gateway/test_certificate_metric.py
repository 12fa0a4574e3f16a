"""`GET /metrics` reports when the gateway's TLS certificate expires."""

import re
import time

import pytest

from backend.security import Permission
from tests import tls
from tests.servers import wait_until

_DAY = 86_400


@pytest.fixture
def administrator(identities):
    return identities.bearer(permissions=[Permission.SYSTEM_READ])


def test_expiry_of_the_tls_certificate_is_reported(app_for, tmp_path, administrator):
    file = tls.certificate(tmp_path)
    client = app_for(TLS_CERTFILE=str(file), TLS_KEYFILE=str(tmp_path / "server.key")).test_client()

    def read_expiry():
        text = client.get("/metrics", headers=administrator).text
        return re.findall(r"^tls_certificate_expiry_timestamp_seconds (\S+)$", text, re.MULTILINE)

    # The certificate is read in the background. A scrape waits for it for 0.4 s.
    wait_until(read_expiry)

    (value,) = read_expiry()
    assert abs(float(value) - time.time() - _DAY) < 3600


def test_no_expiry_is_reported_without_tls(client, administrator):
    response = client.get("/metrics", headers=administrator)

    assert response.status_code == 200
    assert "tls_certificate_expiry" not in response.text
