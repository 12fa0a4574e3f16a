"""App factory, problem responses, OpenAPI, idempotency, paging, SSE, health and serving."""
