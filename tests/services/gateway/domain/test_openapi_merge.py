"""Merging of the OpenAPI merger."""

from backend.services.gateway.domain.openapi_merge import OpenApiMerger, merge_openapi_documents
from backend.services.gateway.domain.routing.route_table import Route, RouteTable

AGENT = Route("agent", "/agent", ("http://a:1",))
OPENAI = Route("openai", "/v1", ("http://a:1",), onto="/v1", service="agent")
OWN = {"openapi": "3.1.0", "paths": {"/": {}}, "components": {"schemas": {"Problem": {}}}}
PART = {
    "paths": {
        "/query": {"post": {"operationId": "ask", "x": {"$ref": "#/components/schemas/Answer"}}},
        "/v1/models": {"get": {"operationId": "models"}, "summary": "all"},
        "/metrics": {"get": {}},
    },
    "components": {"schemas": {"Answer": {"items": [{"$ref": "#/components/schemas/Problem"}]}}},
}


def test_merge_adds_prefixes_to_paths_and_service_names_to_schemas():
    merged = merge_openapi_documents(OWN, [(AGENT, PART), (OPENAI, PART)])

    assert set(merged["paths"]) == {"/", "/agent/query", "/agent/v1/models", "/v1/models"}
    ask = merged["paths"]["/agent/query"]["post"]
    assert ask["x"] == {"$ref": "#/components/schemas/AgentAnswer"}
    assert ask["operationId"] == "agent_ask"
    assert merged["paths"]["/v1/models"]["get"]["operationId"] == "openai_models"
    assert merged["components"]["schemas"]["AgentAnswer"] == {
        "items": [{"$ref": "#/components/schemas/Problem"}]
    }


def test_merge_groups_operations_by_route_in_page_order():
    names = ("auth", "agent", "rag", "new")
    routes = [Route(name, f"/{name}", ("http://a:1",)) for name in names]
    part = {"paths": {"/query": {"get": {}}, "/health": {"get": {"tags": ["operations"]}}}}

    merged = merge_openapi_documents(OWN, [(route, part) for route in routes])

    tags = [tag["name"] for tag in merged["tags"]]
    assert tags == ["auth", "rag", "agent", "new", "gateway", "operations"]
    assert merged["paths"]["/rag/query"]["get"]["tags"] == ["rag"]
    assert merged["paths"]["/rag/health"]["get"]["tags"] == ["operations"]


class FlakyProbe:
    def __init__(self):
        self.calls = 0

    def fetch_openapi_document(self, origin):
        self.calls += 1
        if self.calls == 1:
            raise OSError("down")
        return PART


def test_only_a_complete_document_is_cached():
    probe = FlakyProbe()
    merger = OpenApiMerger(RouteTable((AGENT,)), probe)

    assert set(merger.get_merged_document(OWN)["paths"]) == {"/"}
    assert "/agent/query" in merger.get_merged_document(OWN)["paths"]
    assert "/agent/query" in merger.get_merged_document(OWN)["paths"]
    assert probe.calls == 2
