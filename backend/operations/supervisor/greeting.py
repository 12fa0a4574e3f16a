"""Example commands that are printed after a start: register, upload a document, ask about it."""

_EXAMPLE = r"""
  GATEWAY={gateway}
  JSON='Content-Type: application/json'
  TOKEN=$(curl -s $GATEWAY/auth/register -H "$JSON" \
    -d '{"username": "guest'$(date +%s)'", "password": "testpass123"}' |
    sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
  echo 'The warranty of the X-200 pump lasts 37 months.' |
    curl -s -w '\n' "$GATEWAY/rag/documents?wait=30" -H "Authorization: Bearer $TOKEN" \
      -F 'file=@-;filename=pump.txt;type=text/plain'
  curl -s -w '\n' $GATEWAY/agent/query -H "Authorization: Bearer $TOKEN" -H "$JSON" \
    -d '{"user_request": "How long is the warranty of the X-200 pump?"}'
""".strip("\n")


def format_example_commands(gateway_url: str) -> str:
    """Return shell commands for the gateway at *gateway_url*.

    They can be pasted more than once: the user name contains the time.
    """
    return _EXAMPLE.replace("{gateway}", gateway_url)
