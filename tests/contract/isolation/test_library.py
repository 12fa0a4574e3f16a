"""Whatever two tenants do with their documents: everybody finds what is theirs or shared with them.

The model knows collections, grants and documents. Each document holds a word of its own, so
one look at an answer's text tells whose documents it was made of.
"""

import io
from dataclasses import dataclass, field
from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

_worlds = count(1)
PEOPLE = {"ada": "one", "bea": "one", "cid": "two"}
WHO = st.sampled_from(sorted(PEOPLE))
RISING = ("none", "read", "write")
ACCESS = st.sampled_from(RISING)


@dataclass
class Shelf:
    id: str
    name: str
    owner: str
    tenant_access: str = "none"
    grants: dict[str, str] = field(default_factory=dict)

    def access(self, who):
        if who == self.owner:
            return "write"
        if PEOPLE[who] != PEOPLE[self.owner]:
            return "none"
        return max(self.tenant_access, self.grants.get(who, "none"), key=RISING.index)


@dataclass
class Document:
    id: str
    word: str
    shelf: Shelf


class Library(RuleBasedStateMachine):
    def __init__(self, stage):
        super().__init__()
        self.client = stage.client
        self.identities = stage.identities
        self.shelves = []
        self.documents = []

    @initialize()
    def begin(self):
        self.world = next(_worlds)
        self.headers = {
            who: self.identities.bearer(self.id_of(who), tenant_id=f"{tenant}-{self.world}")
            for who, tenant in PEOPLE.items()
        }
        self.words = (f"w{self.world}x{number}q" for number in count(1))
        for who in PEOPLE:
            self.make(who, "none")
            self.put(who, self.shelves[-1])

    def id_of(self, who):
        return f"{who}-{self.world}"

    def ask(self, who, method, path, **body):
        return self.client.open(path, method=method, headers=self.headers[who], **body)

    @rule(who=WHO, access=ACCESS)
    def make(self, who, access):
        # Both tenants use the same names.
        name = f"shelf {sum(each.owner == who for each in self.shelves)} of {who[0] != 'b'}"
        body = {"name": name, "description": next(self.words), "tenant_access": access}
        response = self.ask(who, "POST", "/collections", json=body)
        assert response.status_code == 201, response.text
        self.shelves.append(Shelf(response.json["id"], name, who, access))

    @precondition(lambda self: self.shelves)
    @rule(who=WHO, access=ACCESS, data=st.data())
    def share(self, who, access, data):
        shelf = data.draw(st.sampled_from(self.shelves))
        body = {"tenant_access": access}
        response = self.ask(who, "PATCH", f"/collections/{shelf.id}", json=body)
        if self.owns(response, who, shelf):
            shelf.tenant_access = access

    @precondition(lambda self: self.shelves)
    @rule(who=WHO, to=WHO, access=ACCESS, data=st.data())
    def grant(self, who, to, access, data):
        shelf = data.draw(st.sampled_from(self.shelves))
        path = f"/collections/{shelf.id}/grants/{self.id_of(to)}"
        if access == "none":
            response = self.ask(who, "DELETE", path)
        else:
            response = self.ask(who, "PUT", path, json={"access": access})
        if self.owns(response, who, shelf):
            shelf.grants[to] = access

    @precondition(lambda self: self.shelves)
    @rule(who=WHO, data=st.data())
    def upload(self, who, data):
        shelf = data.draw(st.sampled_from(self.shelves))
        if shelf.access(who) != "none":
            self.put(who, shelf)

    def put(self, who, shelf):
        word = next(self.words)
        text = f"The password of the {word} is kept in {word}."
        file = (io.BytesIO(text.encode()), f"{word}.txt")
        form = {"file": file, "collection": shelf.id}
        response = self.ask(who, "POST", "/documents?wait=30", data=form)
        if shelf.access(who) == "read":
            assert response.status_code == 403, response.text
            return
        assert response.status_code == 201, response.text
        self.documents.append(Document(response.json["documents"][0]["id"], word, shelf))

    @precondition(lambda self: self.documents)
    @rule(who=WHO, data=st.data())
    def delete(self, who, data):
        document = data.draw(st.sampled_from(self.documents))
        response = self.ask(who, "DELETE", f"/documents/{document.id}")
        if self.writes(response, who, document.shelf, 204):
            self.documents.remove(document)

    @precondition(lambda self: self.documents)
    @rule(who=WHO, data=st.data())
    def move(self, who, data):
        document = data.draw(st.sampled_from(self.documents))
        to = data.draw(st.sampled_from(self.shelves))
        path = f"/documents/{document.id}"
        response = self.ask(who, "PATCH", path, json={"collection": to.id})
        accesses = (document.shelf.access(who), to.access(who))
        expected = 404 if "none" in accesses else 403 if "read" in accesses else 200
        # Who may not change the document learns nothing of where it was to go.
        if accesses[0] == "read":
            expected = 403
        assert response.status_code == expected, (accesses, response.text)
        if expected == 200:
            document.shelf = to
            self.ask(who, "GET", f"{path}/events").get_data()  # until it is read again

    @precondition(lambda self: self.shelves)
    @rule(who=WHO, data=st.data())
    def remove(self, who, data):
        shelf = data.draw(st.sampled_from(self.shelves))
        response = self.ask(who, "DELETE", f"/collections/{shelf.id}")
        if self.owns(response, who, shelf):
            self.shelves.remove(shelf)
            self.documents = [each for each in self.documents if each.shelf is not shelf]

    def owns(self, response, who, shelf):
        expected = {"none": (404,)}.get(shelf.access(who), (403,))
        if who == shelf.owner:
            expected = (200, 204)
        assert response.status_code in expected, (who, shelf, response.text)
        return who == shelf.owner

    def writes(self, response, who, shelf, done):
        expected = {"none": 404, "read": 403, "write": done}[shelf.access(who)]
        assert response.status_code == expected, (who, shelf, response.text)
        return expected == done

    def teardown(self):
        for who in PEOPLE if hasattr(self, "headers") else ():
            self.look(who)

    @rule(who=WHO)
    def look(self, who):
        """All that somebody can ask for shows what they may see, and nothing of the rest."""
        shelves = [each for each in self.shelves if each.access(who) != "none"]
        visible = [each for each in self.documents if each.shelf in shelves]
        hidden = [each for each in self.documents if each not in visible]
        found = self.ask(who, "GET", "/collections").json["items"]
        assert {each["id"]: each["access"] for each in found} == {
            each.id: each.access(who) for each in shelves
        }
        listed = self.ask(who, "GET", "/documents")
        assert {each["id"] for each in listed.json["items"]} == {each.id for each in visible}
        self.is_silent(listed, hidden)
        for document in self.documents:
            self.search(who, document, document in visible, hidden)
        for document in hidden:
            for path in ("", "/text", "/chunks", "/content", "/events"):
                response = self.ask(who, "GET", f"/documents/{document.id}{path}")
                assert response.status_code == 404, (who, document, path)
        for shelf in self.shelves:
            if shelf not in shelves:
                narrowed = {"query": "password", "collection": shelf.id}
                assert self.ask(who, "POST", "/search", json=narrowed).status_code == 404

    def search(self, who, document, is_visible, hidden):
        question = {"query": f"Where is the password of the {document.word}?", "k": 50}
        found = self.ask(who, "POST", "/search", json=question)
        assert (document.id in found.text) == is_visible, (who, document, found.text)
        answered = self.ask(who, "POST", "/query", json=question)
        for response in (found, answered):
            self.is_silent(response, hidden)
        narrowed = question | {"filter": {"document_id": document.id}, "mode": "keyword"}
        found = self.ask(who, "POST", "/search", json=narrowed)
        assert bool(found.json["results"]) == is_visible, (who, document, found.text)

    def is_silent(self, response, hidden):
        assert response.status_code == 200, response.text
        # What was searched for is in the asker's own words.
        told = str({key: value for key, value in response.json.items() if key != "searched_for"})
        for document in hidden:
            assert document.id not in told
            assert document.word not in told


def test_everybody_finds_what_is_theirs_or_shared_with_them(run):
    run("rag", Library, examples=6, steps=25)
