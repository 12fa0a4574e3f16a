"""Flask apps: app factory, errors, OpenAPI, idempotency, paging, SSE, health and serving."""
