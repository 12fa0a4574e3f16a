"""Conversations with the agent are visible only to their owner, not even in the same tenant."""

from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

_runs = count(1)
TENANT_BY_USER = {"ada": "one", "bea": "one", "cid": "two"}
USERS = st.sampled_from(sorted(TENANT_BY_USER))


class Conversations(RuleBasedStateMachine):
    def __init__(self, stage):
        super().__init__()
        self.client = stage.client
        self.identities = stage.identities
        self.conversations = {}  # session id → (owner, secret words of the requests)

    @initialize()
    def create_users(self):
        run_number = next(_runs)
        self.headers = {
            who: self.identities.bearer(f"{who}-{run_number}", tenant_id=f"{tenant}-{run_number}")
            for who, tenant in TENANT_BY_USER.items()
        }
        self.words = (f"w{run_number}x{number}q" for number in count(1))

    def request(self, who, method, path, **body):
        return self.client.open(path, method=method, headers=self.headers[who], **body)

    @rule(who=USERS)
    def start_conversation(self, who):
        word = next(self.words)
        response = self.request(who, "POST", "/query", json={"user_request": f"What is {word}?"})
        assert response.status_code == 200, response.text
        self.assert_no_foreign_data(who, response)
        self.conversations[response.json["session_id"]] = (who, [word])

    @precondition(lambda self: self.conversations)
    @rule(who=USERS, data=st.data())
    def continue_conversation(self, who, data):
        session_id = data.draw(st.sampled_from(list(self.conversations)))
        owner, words = self.conversations[session_id]
        word = next(self.words)
        body = {"user_request": f"And what is {word}?", "session_id": session_id}
        response = self.request(who, "POST", "/query", json=body)
        assert response.status_code == (200 if who == owner else 404), response.text
        if who == owner:
            words.append(word)
        self.assert_no_foreign_data(who, response)

    @precondition(lambda self: self.conversations)
    @rule(who=USERS, data=st.data(), action=st.sampled_from(["cancel", "resume", "delete"]))
    def change_conversation(self, who, data, action):
        session_id = data.draw(st.sampled_from(list(self.conversations)))
        owner, _ = self.conversations[session_id]
        path = f"/sessions/{session_id}"
        if action == "delete":
            response = self.request(who, "DELETE", path)
        else:
            body = {"json": {"decision": "approve"}} if action == "resume" else {}
            response = self.request(who, "POST", f"{path}/{action}", **body)
        success = {"cancel": 202, "resume": 409, "delete": 204}[action]
        assert response.status_code == (success if who == owner else 404), response.text
        if action == "delete" and who == owner:
            del self.conversations[session_id]

    @rule(who=USERS)
    def list_everything(self, who):
        own = {id_ for id_, (owner, _) in self.conversations.items() if owner == who}
        listed = self.request(who, "GET", "/sessions")
        assert {item["id"] for item in listed.json["items"]} == own
        self.assert_no_foreign_data(who, listed)
        for session_id, (owner, words) in self.conversations.items():
            conversation = self.request(who, "GET", f"/sessions/{session_id}")
            assert conversation.status_code == (200 if owner == who else 404)
            assert all(word in conversation.text for word in words) == (owner == who)
            self.assert_no_foreign_data(who, conversation)

    def assert_no_foreign_data(self, who, response):
        for owner, words in self.conversations.values():
            if owner != who:
                assert not any(word in response.text for word in words), response.text

    def teardown(self):
        for who in TENANT_BY_USER if hasattr(self, "headers") else ():
            self.list_everything(who)


def test_conversations_are_visible_only_to_their_owner(run):
    run("agent", Conversations, examples=8, steps=20)
