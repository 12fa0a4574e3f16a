"""Users of two tenants find exactly the documents that they own or that are shared with them.

The model tracks collections, grants and documents. Each document contains a unique word, so the
text of a response shows which documents it was made from.
"""

import io
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

_runs = count(1)
TENANT_BY_USER = {"ada": "one", "bea": "one", "cid": "two"}
USERS = st.sampled_from(sorted(TENANT_BY_USER))
ACCESS_LEVELS = ("none", "read", "write")
ACCESS = st.sampled_from(ACCESS_LEVELS)


@dataclass
class Collection:
    id: str
    name: str
    owner: str
    tenant_access: str = "none"
    grants: dict[str, str] = field(default_factory=dict)

    def access(self, who):
        if who == self.owner:
            return "write"
        if TENANT_BY_USER[who] != TENANT_BY_USER[self.owner]:
            return "none"
        return max(self.tenant_access, self.grants.get(who, "none"), key=ACCESS_LEVELS.index)


@dataclass
class Document:
    id: str
    word: str
    collection: Collection


class DocumentAccess(RuleBasedStateMachine):
    def __init__(self, stage):
        super().__init__()
        self.client = stage.client
        self.identities = stage.identities
        self.collections = []
        self.created_counts = Counter()
        self.documents = []

    @initialize()
    def create_users(self):
        self.run_number = next(_runs)
        self.headers = {
            who: self.identities.bearer(self.user_id(who), tenant_id=f"{tenant}-{self.run_number}")
            for who, tenant in TENANT_BY_USER.items()
        }
        self.words = (f"w{self.run_number}x{number}q" for number in count(1))
        for who in TENANT_BY_USER:
            self.create_collection(who, "none")
            self.upload_document(who, self.collections[-1])

    def user_id(self, who):
        return f"{who}-{self.run_number}"

    def request(self, who, method, path, **body):
        return self.client.open(path, method=method, headers=self.headers[who], **body)

    @rule(who=USERS, access=ACCESS)
    def create_collection(self, who, access):
        # Both tenants use the same collection names. A user's names differ, also from those of
        # collections that were removed.
        name = f"collection {self.created_counts[who]} of {who[0] != 'b'}"
        self.created_counts[who] += 1
        body = {"name": name, "description": next(self.words), "tenant_access": access}
        response = self.request(who, "POST", "/collections", json=body)
        assert response.status_code == 201, response.text
        self.collections.append(Collection(response.json["id"], name, who, access))

    @precondition(lambda self: self.collections)
    @rule(who=USERS, access=ACCESS, data=st.data())
    def share(self, who, access, data):
        collection = data.draw(st.sampled_from(self.collections))
        body = {"tenant_access": access}
        response = self.request(who, "PATCH", f"/collections/{collection.id}", json=body)
        if self.check_owner_only(response, who, collection):
            collection.tenant_access = access

    @precondition(lambda self: self.collections)
    @rule(who=USERS, to=USERS, access=ACCESS, data=st.data())
    def grant(self, who, to, access, data):
        collection = data.draw(st.sampled_from(self.collections))
        path = f"/collections/{collection.id}/grants/{self.user_id(to)}"
        if access == "none":
            response = self.request(who, "DELETE", path)
        else:
            response = self.request(who, "PUT", path, json={"access": access})
        if self.check_owner_only(response, who, collection):
            collection.grants[to] = access

    @precondition(lambda self: self.collections)
    @rule(who=USERS, data=st.data())
    def upload(self, who, data):
        collection = data.draw(st.sampled_from(self.collections))
        if collection.access(who) != "none":
            self.upload_document(who, collection)

    def upload_document(self, who, collection):
        word = next(self.words)
        text = f"The password of the {word} is kept in {word}."
        file = (io.BytesIO(text.encode()), f"{word}.txt")
        form = {"file": file, "collection": collection.id}
        response = self.request(who, "POST", "/documents?wait=30", data=form)
        if collection.access(who) == "read":
            assert response.status_code == 403, response.text
            return
        assert response.status_code == 201, response.text
        self.documents.append(Document(response.json["documents"][0]["id"], word, collection))

    @precondition(lambda self: self.documents)
    @rule(who=USERS, data=st.data())
    def delete(self, who, data):
        document = data.draw(st.sampled_from(self.documents))
        response = self.request(who, "DELETE", f"/documents/{document.id}")
        if self.check_write_access(response, who, document.collection, 204):
            self.documents.remove(document)

    @precondition(lambda self: self.documents)
    @rule(who=USERS, data=st.data())
    def move(self, who, data):
        document = data.draw(st.sampled_from(self.documents))
        to = data.draw(st.sampled_from(self.collections))
        path = f"/documents/{document.id}"
        response = self.request(who, "PATCH", path, json={"collection": to.id})
        accesses = (document.collection.access(who), to.access(who))
        expected = 404 if "none" in accesses else 403 if "read" in accesses else 200
        # Without write access to the document the target must not be revealed.
        if accesses[0] == "read":
            expected = 403
        assert response.status_code == expected, (accesses, response.text)
        if expected == 200:
            document.collection = to
            # Read the stream until the document is processed again. A stream that is not closed
            # keeps its wait slot, and without free slots uploads return 202.
            with self.request(who, "GET", f"{path}/events") as stream:
                stream.get_data()

    @precondition(lambda self: self.collections)
    @rule(who=USERS, data=st.data())
    def remove(self, who, data):
        collection = data.draw(st.sampled_from(self.collections))
        response = self.request(who, "DELETE", f"/collections/{collection.id}")
        if self.check_owner_only(response, who, collection):
            self.collections.remove(collection)
            self.documents = [item for item in self.documents if item.collection is not collection]

    def check_owner_only(self, response, who, collection):
        expected = {"none": (404,)}.get(collection.access(who), (403,))
        if who == collection.owner:
            expected = (200, 204)
        assert response.status_code in expected, (who, collection, response.text)
        return who == collection.owner

    def check_write_access(self, response, who, collection, done):
        expected = {"none": 404, "read": 403, "write": done}[collection.access(who)]
        assert response.status_code == expected, (who, collection, response.text)
        return expected == done

    def teardown(self):
        for who in TENANT_BY_USER if hasattr(self, "headers") else ():
            self.list_everything(who)

    @rule(who=USERS)
    def list_everything(self, who):
        """Every list and search returns all visible documents and none of the others."""
        collections = [item for item in self.collections if item.access(who) != "none"]
        visible = [item for item in self.documents if item.collection in collections]
        hidden = [item for item in self.documents if item not in visible]
        found = self.request(who, "GET", "/collections").json["items"]
        assert {item["id"]: item["access"] for item in found} == {
            item.id: item.access(who) for item in collections
        }
        listed = self.request(who, "GET", "/documents")
        assert {item["id"] for item in listed.json["items"]} == {item.id for item in visible}
        self.assert_no_hidden_data(listed, hidden)
        for document in self.documents:
            self.search(who, document, document in visible, hidden)
        for document in hidden:
            for path in ("", "/text", "/chunks", "/content", "/events"):
                response = self.request(who, "GET", f"/documents/{document.id}{path}")
                assert response.status_code == 404, (who, document, path)
        for collection in self.collections:
            if collection not in collections:
                narrowed = {"query": "password", "collection": collection.id}
                assert self.request(who, "POST", "/search", json=narrowed).status_code == 404

    def search(self, who, document, is_visible, hidden):
        question = {"query": f"Where is the password of the {document.word}?", "k": 50}
        found = self.request(who, "POST", "/search", json=question)
        assert (document.id in found.text) == is_visible, (who, document, found.text)
        answered = self.request(who, "POST", "/query", json=question)
        for response in (found, answered):
            self.assert_no_hidden_data(response, hidden)
        narrowed = question | {"filter": {"document_id": document.id}, "mode": "keyword"}
        found = self.request(who, "POST", "/search", json=narrowed)
        assert bool(found.json["results"]) == is_visible, (who, document, found.text)

    def assert_no_hidden_data(self, response, hidden):
        assert response.status_code == 200, response.text
        # searched_for repeats the caller's own question.
        text = str({key: value for key, value in response.json.items() if key != "searched_for"})
        for document in hidden:
            assert document.id not in text
            assert document.word not in text


@pytest.mark.slow
def test_users_find_exactly_their_own_and_shared_documents(run):
    run("rag", DocumentAccess, examples=3, steps=25)
