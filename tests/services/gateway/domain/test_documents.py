"""Every service's routes in one document."""

from backend.services.gateway.domain.documents import Documents, merge
from backend.services.gateway.domain.table import Route, Table

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


def test_paths_stand_under_their_prefixes_and_schemas_under_their_service():
    whole = merge(OWN, [(AGENT, PART), (OPENAI, PART)])

    assert set(whole["paths"]) == {"/", "/agent/query", "/agent/v1/models", "/v1/models"}
    ask = whole["paths"]["/agent/query"]["post"]
    assert ask["x"] == {"$ref": "#/components/schemas/AgentAnswer"}
    assert ask["operationId"] == "agent_ask"
    assert whole["paths"]["/v1/models"]["get"]["operationId"] == "openai_models"
    assert whole["components"]["schemas"]["AgentAnswer"] == {
        "items": [{"$ref": "#/components/schemas/Problem"}]
    }


class Flaky:
    def __init__(self):
        self.asked = 0

    def ask_document(self, origin):
        self.asked += 1
        if self.asked == 1:
            raise OSError("down")
        return PART


def test_a_whole_document_is_kept_and_a_partial_one_is_not():
    questions = Flaky()
    documents = Documents(Table((AGENT,)), questions)

    assert set(documents.whole(OWN)["paths"]) == {"/"}
    assert "/agent/query" in documents.whole(OWN)["paths"]
    assert "/agent/query" in documents.whole(OWN)["paths"]
    assert questions.asked == 2
