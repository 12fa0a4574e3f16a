"""Sessions, run records, personas, feedback and evaluations that are encrypted at rest."""

import base64
import os
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from itertools import count

import pytest
from sqlalchemy import JSON, LargeBinary, MetaData, String, select, update

from backend.ai.chat_models import ModelAddress
from backend.chassis.data_encryption.reencryption import Reencryption
from backend.chassis.data_encryption.settings import EncryptionSettings
from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env, SettingsError
from backend.chassis.web.app_factory import get_component
from backend.operations import encryption
from backend.services.agent.app import create_app
from backend.services.agent.backup import open_contributor
from backend.services.agent.checkup import run_checks
from backend.services.agent.domain.conversations import conversations
from backend.services.agent.domain.evaluation.evaluations import EvaluationService, Variant
from backend.services.agent.domain.evaluation.question_files import EvaluationQuestion
from backend.services.agent.model import Caller
from backend.services.agent.sealed_data import describe_sealed_data
from backend.services.agent.store.sealed_columns import DAMAGED_TEXT, create_sealed_columns
from backend.services.agent.store.tables import Base, Conversation, Message, RunRecord
from backend.services.agent.wiring import CommandServices
from tests.databases import on_postgresql
from tests.services.agent.fakes import Reply, WordEmbedder, parse_events, post_query

MARKER = "Zwetschgenmarmelade"
NOTE = {"title": MARKER, "text": f"The {MARKER} is on the shelf."}
# Columns with words or JSON that are stored in clear, see docs/operations/encryption.md.
CLEAR = {
    "conversations": {"origin"},
    "messages": {"request_ref", "role", "status", "finish_reason", "model"},
    "feedback": {"thumb", "model"},
    "personas": {"name"},
    "usage": {"model"},
    "evaluations": {"file", "status", "variants"},
    "evaluation_answers": {"error", "scores"},
    "hourly_values": {"series", "assessment"},
    "drift_findings": {"series", "kind", "comparison"},
}
# Those of them that users or operators name.
NAMES = {
    ("messages", "request_ref"),
    ("personas", "name"),
    ("evaluations", "file"),
    ("evaluations", "variants"),
}


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def key_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "master.key"
    file.write_text(new_key())
    return file


@pytest.fixture
def configure(scripted_settings):
    """Return a function that returns the settings, with encryption if a key file is given."""

    def build(key_file=None):
        values = {} if key_file is None else {"ENCRYPTION_KEY_FILE": str(key_file)}
        # So few tokens that a second request summarizes the first ones.
        return replace(
            scripted_settings,
            encryption=EncryptionSettings.from_env(Env(values)),
            max_history_tokens=60,
        )

    return build


@pytest.fixture
def start(configure, identities, model):
    """Return a function that starts the service, with encryption if a key file is given."""

    numbers = count()

    def start_app(key_file=None):
        settings = configure(key_file)
        # Each app has its own address: LangChain caches connections, which belong to a loop.
        url = f"{model.url}/{next(numbers)}/v1"
        address = ModelAddress.for_server("openai", "scripted", url)
        models = replace(settings.models, addresses=[address])
        settings = replace(settings, models=models)
        return identities.trust(create_app(settings, embedder=WordEmbedder()))

    return start_app


@pytest.fixture
def convert(configure, key_file):
    """Return a function that runs a step of the command `encryption`."""

    def run_step(action):
        data = describe_sealed_data(configure(key_file))
        try:
            return getattr(Reencryption.open(data, lambda *_: None), action)()
        finally:
            data.database.engine.dispose()

    return run_step


def pause_run(client, bearer, model, **fields):
    """Let a run wait for the approval of a note. Return its answer."""
    model.queue_replies(Reply(text=f"I note the {MARKER}.", calls=[("save_note", NOTE)]))
    answer = post_query(client, bearer, f"Note where the {MARKER} is.", **fields).json
    assert answer["finish_reason"] == "paused"
    return answer


def decide(client, bearer, session_id):
    body = {"decision": "approve"}
    return client.post(f"/sessions/{session_id}/resume", json=body, headers=bearer)


def fill(client, bearer, model, rag_service):
    """Use every route that stores text, always with MARKER. Return the id of a session."""
    rag_service.add_document(f"The {MARKER} is on the third shelf. {'It is old. ' * 20}", bearer)
    persona = {"name": MARKER, "system_prompt": f"Love {MARKER}.", "description": MARKER}
    assert client.post("/personas", json=persona, headers=bearer).status_code == 201
    search = ("search_documents", {"query": MARKER})
    model.queue_replies(
        Reply(calls=[search]), Reply(text=f"The {MARKER} is on the third shelf. " * 9)
    )
    answer = post_query(
        client,
        bearer | {"Idempotency-Key": "one"},
        f"Where is the {MARKER}?",
        persona=MARKER,
        request_ref=MARKER,
    ).json
    session_id = answer["session_id"]
    path = f"/sessions/{session_id}"
    feedback = {"thumb": "up", "text": f"Like {MARKER}."}
    assert client.post(f"{path}/feedback", json=feedback, headers=bearer).status_code == 201
    model.queue_replies(Reply(text=f"About {MARKER}."))  # the summary
    pause_run(client, bearer, model, session_id=session_id, stream=False)
    model.queue_replies(Reply(text=f"{MARKER} is noted."))
    assert decide(client, bearer, session_id).status_code == 200
    renamed = client.patch(path, json={"title": f"My {MARKER}"}, headers=bearer)
    assert renamed.json["title"] == f"My {MARKER}"
    model.queue_replies(Reply(text=f"{MARKER} once more."))
    parse_events(post_query(client, bearer, f"{MARKER}?", session_id=session_id, stream=True))
    pause_run(client, bearer, model)
    recorded = {"messages": [{"role": "user", "content": MARKER}], "origin": "chat"}
    assert client.post("/sessions", json=recorded, headers=bearer).status_code == 201
    return session_id


def evaluate(app, model):
    """Evaluate a question. Return the id of the evaluation."""
    evaluations = get_evaluations(app)
    variants = [Variant("scripted", MARKER, f"Love {MARKER}.")]
    created = evaluations.create_evaluation(f"{MARKER}.jsonl", 1, variants)
    question = EvaluationQuestion(f"Where is the {MARKER}?", (f"{MARKER}: third shelf",))
    model.queue_replies(Reply(text=f"{MARKER}: on the third shelf"))
    caller = Caller("operator", "operator", {}, permissions=frozenset())
    with app.app_context():
        answers = list(evaluations.run_evaluation(created, [question], variants, caller))
    assert answers[0].answer.startswith(MARKER)
    return created.id


def get_evaluations(app) -> EvaluationService:
    return get_component(app, CommandServices).evaluations


def find_columns(settings, marker):
    """Return the columns of all tables that contain *marker*, as the database stores them."""
    database = open_database(settings.database_url, "agent").across_tenants()
    tables = MetaData()
    found = set()
    with closing(database.engine.connect()) as connection:
        tables.reflect(connection)
    with database.read() as session:
        for table in tables.sorted_tables:
            rows = session.execute(select(table), execution_options={"compiled_cache": None})
            found |= {
                (table.name, name)
                for row in rows
                for name, value in row._asdict().items()
                if marker.lower() in str(value).lower()
            }
    database.engine.dispose()
    return found


def list_files_with(folder, marker):
    """Return the files below *folder* that contain *marker* in any case."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and marker.lower().encode() in path.read_bytes().lower()
    ]


def read_all(app, bearer, evaluation_id):
    """Return everything of a user that the service shows, and an evaluation."""
    client = app.test_client()

    def get(path):
        response = client.get(path, headers=bearer)
        assert response.status_code == 200, response.json
        return response.json

    sessions = get("/sessions")["items"]
    details = [get(f"/sessions/{item['id']}") for item in sessions]
    runs = [
        get(f"/sessions/{detail['id']}/runs/{message['run_id']}")
        for detail in details
        for message in detail["messages"]
        if message["run_id"]
    ]
    feedback = [get(f"/sessions/{item['id']}/feedback") for item in sessions]
    evaluation = get_evaluations(app).get_evaluation(evaluation_id)
    return sessions, details, runs, feedback, get("/personas"), evaluation


def search(client, bearer, text, **parameters):
    query = {"q": text, **parameters}
    response = client.get("/sessions", query_string=query, headers=bearer).json
    return [item["title"] for item in response["items"]]


def test_every_column_with_text_is_encrypted_or_documented_as_clear():
    sealed = {columns.table: set(columns.names) for columns in create_sealed_columns()}

    for table in Base.metadata.sorted_tables:
        texts = {
            column.name
            for column in table.columns
            if isinstance(column.type, (String, JSON, LargeBinary))
            and not column.name.endswith("id")
        }
        assert texts == sealed.get(table.name, set()) | CLEAR.get(table.name, set())


def test_no_table_contains_text_of_users(start, ada, model, rag_service, key_file, settings):
    app = start(key_file)

    fill(app.test_client(), ada, model, rag_service)
    evaluation_id = evaluate(app, model)

    assert find_columns(settings, MARKER) == NAMES
    shown = str(read_all(app, ada, evaluation_id))
    assert shown.count(MARKER) > 20
    assert DAMAGED_TEXT not in shown


def test_every_route_stores_the_marker_without_encryption(start, ada, model, rag_service, settings):
    app = start()

    fill(app.test_client(), ada, model, rag_service)
    evaluate(app, model)

    stored = {
        (columns.table, name) for columns in create_sealed_columns() for name in columns.names
    }
    assert find_columns(settings, MARKER) == NAMES | stored - {
        ("evaluation_answers", "metric_errors")
    }


def test_existing_data_is_encrypted_rotated_and_decrypted(
    start, ada, model, rag_service, key_file, settings, convert
):
    app = start()
    fill(app.test_client(), ada, model, rag_service)
    evaluation_id = evaluate(app, model)
    clear = read_all(app, ada, evaluation_id)
    app = start(key_file)  # before existing data is encrypted
    assert read_all(app, ada, evaluation_id) == clear

    assert convert("encrypt").damaged == 0

    assert find_columns(settings, MARKER) == NAMES
    assert {counts.clear for counts in convert("count")} == {0}
    assert read_all(start(key_file), ada, evaluation_id) == clear

    assert convert("rotate_data_keys") == 2  # of Ada's tenant and of the operator
    assert {counts.replaced for counts in convert("count")} != {0}
    assert read_all(start(key_file), ada, evaluation_id) == clear
    assert convert("encrypt").damaged == 0
    assert {counts.replaced for counts in convert("count")} == {0}
    first = key_file.read_text()
    key_file.write_text(f"{new_key()}\n{first}")
    assert convert("rewrap_data_keys") == 4
    key_file.write_text(key_file.read_text().splitlines()[0])
    assert read_all(start(key_file), ada, evaluation_id) == clear

    assert convert("decrypt").damaged == 0
    assert read_all(start(), ada, evaluation_id) == clear


def test_runs_continue_in_sessions_with_rows_of_both_kinds(
    start, ada, model, rag_service, key_file, settings, convert
):
    session_id = pause_run(start().test_client(), ada, model)["session_id"]
    client = start(key_file).test_client()
    client.patch(f"/sessions/{session_id}", json={"title": f"New {MARKER}"}, headers=ada)
    convert("rotate_data_keys")
    model.queue_replies(Reply(text=f"{MARKER} is noted."))

    answer = decide(client, ada, session_id).json

    assert answer["response"] == f"I note the {MARKER}.\n\n{MARKER} is noted."
    assert len(rag_service.uploads) == 1
    session = client.get(f"/sessions/{session_id}", headers=ada).json
    assert (session["title"], session["state"]) == (f"New {MARKER}", "idle")
    assert session["messages"][1]["content"] == answer["response"]
    # The request itself is unchanged since encryption was switched on.
    assert ("messages", "text") in find_columns(settings, MARKER)
    convert("encrypt")
    assert find_columns(settings, MARKER) == set()


def test_change_of_the_title_does_not_restore_an_approved_run(
    start, ada, model, rag_service, key_file, monkeypatch
):
    app = start(key_file)
    session_id = pause_run(app.test_client(), ada, model)["session_id"]
    model.queue_replies(Reply(text="It is noted."))
    read_conversation, decisions = conversations.get_own_conversation, []

    def decide_after_reading(*arguments, **options):
        conversation = read_conversation(*arguments, **options)
        if not decisions:
            decisions.append(executor.submit(decide, app.test_client(), ada, session_id))
            # The decision either ends now, or waits for the lock of the change.
            wait(decisions, timeout=2)
        return conversation

    path = f"/sessions/{session_id}"
    with ThreadPoolExecutor() as executor:
        monkeypatch.setattr(conversations, "get_own_conversation", decide_after_reading)
        changed = app.test_client().patch(path, json={"title": "Renamed"}, headers=ada)
        assert changed.status_code == 200
        assert decisions[0].result().status_code == 200

    session = app.test_client().get(path, headers=ada).json
    assert (session["title"], session["state"]) == ("Renamed", "idle")
    assert decide(app.test_client(), ada, session_id).status_code == 409
    assert len(rag_service.uploads) == 1


def test_search_finds_parts_of_encrypted_titles_and_messages(
    start, ada, bob, model, key_file, monkeypatch
):
    model.default_reply = Reply(text="It is in the attic.")
    post_query(start().test_client(), ada, f"The {MARKER}, in clear")
    client = start(key_file).test_client()
    for number in range(3):
        post_query(client, ada, f"Number {number} of Äpfel")
    recorded = {"messages": [], "origin": "agent"}
    client.post("/sessions", json=recorded, headers=ada)

    assert search(client, ada, "SCHGENMARM") == [f"The {MARKER}, in clear"]
    assert search(client, ada, "äpfel") == [f"Number {number} of Äpfel" for number in (2, 1, 0)]
    assert len(search(client, ada, "the attic.")) == 4
    assert search(client, ada, "nowhere") == []
    assert search(client, bob, "attic") == []
    page = client.get("/sessions?q=attic&limit=2", headers=ada).json
    assert len(page["items"]) == 2
    assert len(search(client, ada, "attic", cursor=page["next_cursor"])) == 2
    store = "backend.services.agent.store.conversations"
    monkeypatch.setattr(f"{store}.MAX_SEARCHED_MESSAGES", 3)
    assert search(client, ada, "attic") == ["Number 2 of Äpfel"]


def test_commands_and_doctor_cover_the_agent(
    start, ada, model, key_file, settings, configure, monkeypatch, capsys
):
    pause_run(start().test_client(), ada, model)
    key_file.chmod(0o600)
    values = {
        "DATA_DIR": str(settings.common.data_dir),
        "SECRET_KEY": "kR8-a7Vf0Qp2mXz9cLw4nTb6yHs1dGj3eUo5iKq7",
        "ENCRYPTION_KEY_FILE": str(key_file),
        **({"DATABASE_URL": settings.database_url} if on_postgresql() else {}),
    }
    monkeypatch.setattr(encryption, "load_env", lambda: Env(values))

    def list_problems():
        findings = run_checks(configure(key_file), tables_ok=True, running=False)
        return [each.problem for each in findings if "scripted" not in each.problem]

    # A session, two messages and the record of the run.
    assert list_problems() == ["4 rows and files of agent are not encrypted."]
    assert encryption.main(["encryption", "encrypt"]) == 0
    assert "agent: 4 rows and files encrypted" in capsys.readouterr().out
    assert list_problems() == []
    assert encryption.main(["encryption", "rotate-data-keys"]) == 0
    assert "agent: new data keys for 1 tenants" in capsys.readouterr().out
    assert encryption.main(["encryption", "decrypt"]) == 0
    assert find_columns(settings, MARKER) != set()


def test_session_is_deleted_with_its_encrypted_rows(
    start, ada, model, rag_service, key_file, settings
):
    client = start(key_file).test_client()
    fill(client, ada, model, rag_service)
    for item in client.get("/sessions", headers=ada).json["items"]:
        assert client.delete(f"/sessions/{item['id']}", headers=ada).status_code == 204

    database = open_database(settings.database_url, "agent").across_tenants()
    with database.read() as session:
        assert session.scalars(select(RunRecord.run_id)).all() == []
        assert session.scalars(select(Conversation.origin)).all() == ["chat"]
    database.engine.dispose()


def test_moved_values_are_shown_as_damaged(start, ada, model, key_file, settings):
    client = start(key_file).test_client()
    model.default_reply = Reply(text="So it is.")
    first, second = (
        post_query(client, ada, text).json["session_id"] for text in ("Number one", "Number two")
    )
    database = open_database(settings.database_url, "agent").across_tenants()
    # Read and written as stored: this database has no keys.
    with database.write() as session:
        for table, owner in ((Conversation, Conversation.id), (Message, Message.conversation_id)):
            columns = ("title",) if table is Conversation else ("text",)
            rows = session.execute(
                select(table.id, *(getattr(table, name) for name in columns)).where(owner == first)
            ).all()
            for row in rows[:1]:
                values = dict(zip(columns, row[1:], strict=True))
                position = {} if table is Conversation else {"position": 0}
                session.execute(
                    update(table).where(owner == second).filter_by(**position).values(values)
                )
    database.engine.dispose()

    session = client.get(f"/sessions/{second}", headers=ada).json

    assert session["title"] == DAMAGED_TEXT
    assert [message["content"] for message in session["messages"]] == [DAMAGED_TEXT, "So it is."]
    assert client.get(f"/sessions/{first}", headers=ada).json["title"] == "Number one"
    assert len(client.get("/sessions", headers=ada).json["items"]) == 2
    assert search(client, ada, "number two") == []


def test_damaged_record_of_a_run_returns_500(start, ada, model, key_file, settings):
    client = start(key_file).test_client()
    session_id = post_query(client, ada, "Well?").json["session_id"]
    run_id = client.get(f"/sessions/{session_id}", headers=ada).json["messages"][-1]["run_id"]
    database = open_database(settings.database_url, "agent").across_tenants()
    with database.write() as session:
        session.execute(update(RunRecord).values(inputs="AAAA"))
    database.engine.dispose()

    response = client.get(f"/sessions/{session_id}/runs/{run_id}", headers=ada)

    assert (response.status_code, response.json["code"]) == (500, "data_damaged")
    assert client.get(f"/sessions/{session_id}", headers=ada).status_code == 200


def test_start_and_restore_report_a_missing_master_key(start, ada, key_file, settings):
    post_query(start(key_file).test_client(), ada, "Hello")
    database = open_database(settings.database_url, "agent")

    with pytest.raises(SettingsError, match="Data of agent is encrypted"):
        start()
    with database.as_owner() as connection:
        restored = open_contributor(Env({"ENCRYPTION_KEY_FILE": str(key_file)}))
        assert restored.update_restored_rows(connection) == []
        (problem,) = open_contributor(Env({})).update_restored_rows(connection)
    database.engine.dispose()
    assert "Set ENCRYPTION_KEY_FILE" in problem


@pytest.mark.slow
def test_data_folder_contains_no_text_after_conversion(
    start, ada, model, rag_service, key_file, settings, configure
):
    if on_postgresql():
        pytest.skip("looks into the SQLite file")
    app = start()
    fill(app.test_client(), ada, model, rag_service)
    assert list_files_with(settings.common.data_dir, "third shelf") != []

    data = describe_sealed_data(configure(key_file))
    reencryption = Reencryption.open(data, lambda *_: None)
    reencryption.encrypt()
    data.database.engine.dispose()
    assert reencryption.remove_deleted_text() is True
    data.database.engine.dispose()

    assert list_files_with(settings.common.data_dir, "third shelf") == []
