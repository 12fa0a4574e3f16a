"""Webhooks of a WhatsApp account, signed."""

import hmac
import json
import time
from typing import Final

ACCOUNT: Final = "acc_benchmark"
SECRET: Final = "a secret of the benchmark"  # noqa: S105 - signs webhooks of benchmarks only
_PERSONS: Final = 200


def build_webhook(number: int) -> tuple[bytes, str]:
    """Return the body and the signature of a text message with this number."""
    address = f"1555{number % _PERSONS:07d}"
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100001", "phone_number_id": "1"},
        "contacts": [{"profile": {"name": f"Person {address}"}, "wa_id": address}],
        "messages": [
            {
                "from": address,
                "id": f"wamid.{number:030d}",
                "timestamp": str(int(time.time())),
                "type": "text",
                "text": {"body": f"Where is my parcel number {number}? It was due on Monday."},
            }
        ],
    }
    change = {"field": "messages", "value": value}
    entry = {"id": "100", "changes": [change]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    return body, "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest()
