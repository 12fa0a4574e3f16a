"""Texts of the gateway's API page: introduction, first calls and descriptions of the groups."""

from collections.abc import Mapping

API_DESCRIPTION = """\
Upload documents, search them, and let an agent answer requests from them with citations. All \
requests go to the gateway, which forwards them to the services. Request and response bodies are \
JSON. Errors are problem documents (RFC 9457) with a stable `code` and a `request_id` that helps \
the operator to find the cause.

### Get a token

Register once with `POST /auth/register`. The response contains an access token, which is valid \
for a short time, and a refresh token for `POST /auth/refresh`.

```bash
GATEWAY=http://127.0.0.1:5000
TOKEN=$(curl -s $GATEWAY/auth/register -H 'Content-Type: application/json' \\
  -d '{"username": "testuser", "password": "testpass123"}' |
  sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')
```

Afterwards, sign in with `POST /auth/login` and the same body. To try operations on this page, \
select **Authorize** and enter the token. Programs can use an API key (`POST /auth/api-keys`) in \
the header `X-API-Key` instead.

### First three calls

Upload a document and wait until it is processed:

```bash
curl -s "$GATEWAY/rag/documents?wait=60" -H "Authorization: Bearer $TOKEN" \\
  -F 'file=@report.pdf'
```

Search the documents:

```bash
curl -s $GATEWAY/rag/search -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' -d '{"query": "first computer program"}'
```

Let the agent answer a request:

```bash
curl -s $GATEWAY/agent/query -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' \\
  -d '{"user_request": "Who published the first computer program?"}'
```
"""

GROUP_DESCRIPTIONS: Mapping[str, str] = {
    "auth": "Accounts, sessions, API keys, service accounts, roles and tenants.",
    "rag": "Documents, collections, search, and answers from documents.",
    "agent": "Agent requests, sessions, personas, tools and usage.",
    "openai": "The agent for OpenAI clients. Set their base URL to `$GATEWAY/v1`.",
    "audio": "Transcription and speech for OpenAI clients, at the same base URL.",
    "packages": "Shipments, their tracking events and statistics.",
    "agents": "Investigations and predictions of packages, routes and tours.",
    "packages-webhooks": "Webhooks of tracking providers.",
    "admin": "Users, chat history and statistics of all services, for administrators.",
    "gateway": "The gateway's own routes.",
}
"""Descriptions by route name. Other routes have none."""

FIRST_GROUPS = ("auth", "rag", "agent", "openai")
"""Groups at the top of the page. The others follow in the order of the route table."""
