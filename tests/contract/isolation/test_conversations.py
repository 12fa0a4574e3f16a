"""Whatever people say to the agent: nobody else, in their tenant or out of it, hears of it."""

from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

_worlds = count(1)
PEOPLE = {"ada": "one", "bea": "one", "cid": "two"}
WHO = st.sampled_from(sorted(PEOPLE))


class Conversations(RuleBasedStateMachine):
    def __init__(self, stage):
        super().__init__()
        self.client = stage.client
        self.identities = stage.identities
        self.said = {}  # what was said in a conversation, and by whom

    @initialize()
    def begin(self):
        world = next(_worlds)
        self.headers = {
            who: self.identities.bearer(f"{who}-{world}", tenant_id=f"{tenant}-{world}")
            for who, tenant in PEOPLE.items()
        }
        self.words = (f"w{world}x{number}q" for number in count(1))

    def ask(self, who, method, path, **body):
        return self.client.open(path, method=method, headers=self.headers[who], **body)

    @rule(who=WHO)
    def ask_anew(self, who):
        word = next(self.words)
        response = self.ask(who, "POST", "/query", json={"user_request": f"What is {word}?"})
        assert response.status_code == 200, response.text
        self.is_silent(who, response)
        self.said[response.json["session_id"]] = (who, [word])

    @precondition(lambda self: self.said)
    @rule(who=WHO, data=st.data())
    def go_on(self, who, data):
        session_id = data.draw(st.sampled_from(sorted(self.said)))
        owner, words = self.said[session_id]
        word = next(self.words)
        body = {"user_request": f"And what is {word}?", "session_id": session_id}
        response = self.ask(who, "POST", "/query", json=body)
        assert response.status_code == (200 if who == owner else 404), response.text
        if who == owner:
            words.append(word)
        self.is_silent(who, response)

    @precondition(lambda self: self.said)
    @rule(who=WHO, data=st.data(), deed=st.sampled_from(["cancel", "resume", "delete"]))
    def touch(self, who, data, deed):
        session_id = data.draw(st.sampled_from(sorted(self.said)))
        owner, _ = self.said[session_id]
        path = f"/sessions/{session_id}"
        if deed == "delete":
            response = self.ask(who, "DELETE", path)
        else:
            body = {"json": {"decision": "approve"}} if deed == "resume" else {}
            response = self.ask(who, "POST", f"{path}/{deed}", **body)
        done = {"cancel": 202, "resume": 409, "delete": 204}[deed]
        assert response.status_code == (done if who == owner else 404), response.text
        if deed == "delete" and who == owner:
            del self.said[session_id]

    @rule(who=WHO)
    def look(self, who):
        own = {each for each, (owner, _) in self.said.items() if owner == who}
        listed = self.ask(who, "GET", "/sessions")
        assert {each["id"] for each in listed.json["items"]} == own
        self.is_silent(who, listed)
        for session_id, (owner, words) in self.said.items():
            whole = self.ask(who, "GET", f"/sessions/{session_id}")
            assert whole.status_code == (200 if owner == who else 404)
            assert all(word in whole.text for word in words) == (owner == who)
            self.is_silent(who, whole)

    def is_silent(self, who, response):
        for owner, words in self.said.values():
            if owner != who:
                assert not any(word in response.text for word in words), response.text

    def teardown(self):
        for who in PEOPLE if hasattr(self, "headers") else ():
            self.look(who)


def test_a_conversation_is_its_owners_alone(run):
    run("agent", Conversations, examples=8, steps=20)
