"""Voice messages: transcribed in the background, answered with text and speech."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from backend.ai.speech import embedded
from backend.ai.speech.engines import SpeechFailed
from backend.ai.speech.model_files import are_packages_installed
from backend.ai.speech.settings import SpeechSettings
from backend.chassis.data_encryption.settings import EncryptionSettings
from backend.services.chat.domain.voice import jobs as voice_jobs
from backend.services.chat.domain.voice.spoken_text import to_spoken_text
from backend.services.chat.store.tables import Attachment, Conversation, Message, VoiceJob
from tests.databases import on_postgresql
from tests.services.chat.test_encryption import list_files_with
from tests.services.chat.voice.fakes import RECORDING, SPEECH

SECRET = "secret-of-the-webhook"

needs_extra = pytest.mark.skipif(
    not are_packages_installed(), reason="the extra voice is not installed"
)


@pytest.fixture
def account(client, manager, servers):
    """A Telegram account whose answers are spoken."""
    body = {
        "channel": "telegram",
        "name": "Parcels",
        "settings": {"api_url": servers.url, "answer_with_speech": True},
        "credentials": {"webhook_secret": SECRET, "bot_token": "1:abc"},
        "agent_key": "aas_sa.key",
    }
    response = client.post("/accounts", json=body, headers=manager)
    assert response.status_code == 201, response.json
    return response.json["id"]


@pytest.fixture
def send(client, account):
    """Return a function that sends a voice message, or the text in its argument."""
    numbers = iter(range(1, 100))

    def send(text=None):
        number = next(numbers)
        voice = {"file_id": f"f{number}", "mime_type": "audio/ogg", "duration": 3}
        message = {
            "message_id": number,
            "date": 1_760_000_000 + number,
            "chat": {"id": 7, "type": "private"},
            "from": {"id": 7, "is_bot": False, "first_name": "Ann"},
            **({"voice": voice} if text is None else {"text": text}),
        }
        response = client.post(
            f"/webhook/telegram/{account}",
            data=json.dumps({"update_id": number, "message": message}),
            content_type="application/json",
            headers={"X-Telegram-Bot-Api-Secret-Token": SECRET},
        )
        assert response.status_code == 200

    return send


@pytest.fixture
def run(components, worker):
    """Return a function that makes everything due and runs the jobs."""

    def run(*names):
        past = datetime.now(UTC) - timedelta(seconds=1)
        with components.database.across_tenants().write() as session:
            due = Conversation.answer_due_at.is_not(None)
            session.execute(update(Conversation).where(due).values(answer_due_at=past))
            waiting = VoiceJob.next_attempt_at.is_not(None)
            session.execute(update(VoiceJob).where(waiting).values(next_attempt_at=past))
        worker(*names)

    return run


def read_conversation(client, who):
    (item,) = client.get("/conversations", headers=who).json["items"]
    return client.get(f"/conversations/{item['id']}", headers=who).json


def read_texts(conversation):
    return [
        (message["author"].partition(":")[0], message["content"].get("text"))
        for message in conversation["messages"]
    ]


def test_voice_message_is_answered_with_text_and_speech(
    client, colleague, agent, servers, send, run
):
    send()
    run()
    run()

    form = servers.transcriptions[0]
    assert (form["file"], form["model"]) == (RECORDING, b"whisper-1")
    assert [query["user_request"] for query in agent.queries] == ["Where is my parcel?"]
    conversation = read_conversation(client, colleague)
    recording, answer, spoken = conversation["messages"]
    assert recording["attachments"][0]["transcription"] == {
        "state": "done",
        "text": "Where is my parcel?",
        "language": "",
        "seconds": 0.0,
        "error": None,
    }
    assert answer["content"]["text"] == "You said: Where is my parcel?"
    assert spoken["content"]["type"] == "audio"
    (file,) = spoken["attachments"]
    path = f"/conversations/{conversation['id']}/attachments/{file['id']}"
    assert client.get(path, headers=colleague).data == SPEECH
    assert [method for method, _ in servers.sent] == ["sendMessage", "sendVoice"]
    assert servers.sent[1][1]["voice"] == SPEECH
    assert servers.speeches[0]["input"] == "You said: Where is my parcel?"


def test_transcript_is_found_by_the_search(client, colleague, send, run):
    send()
    run()

    hits = client.get("/search?q=parcel", headers=colleague).json["items"]

    assert any(hit["message"]["content"]["type"] == "audio" for hit in hits)


def test_caption_that_is_edited_before_the_transcript_keeps_the_transcript(
    client, account, colleague, agent, send, run
):
    send()
    run("media download")
    message = {
        "message_id": 1,
        "date": 1_760_000_001,
        "edit_date": 1_760_000_010,
        "chat": {"id": 7, "type": "private"},
        "from": {"id": 7, "is_bot": False, "first_name": "Ann"},
        "voice": {"file_id": "f1", "mime_type": "audio/ogg", "duration": 3},
        "caption": "my question",
    }
    client.post(
        f"/webhook/telegram/{account}",
        json={"update_id": 99, "edited_message": message},
        headers={"X-Telegram-Bot-Api-Secret-Token": SECRET},
    )
    run()
    run()

    recording = read_conversation(client, colleague)["messages"][0]
    assert recording["content"]["text"] == "my question"
    assert recording["attachments"][0]["transcription"]["text"] == "Where is my parcel?"
    assert [run["user_request"] for run in agent.runs] == ["my question\nWhere is my parcel?"]


def test_answer_waits_for_the_transcript(client, colleague, agent, send, run):
    send()
    run("media download")
    run("answers")

    assert agent.queries == []
    (recording,) = read_conversation(client, colleague)["messages"]
    assert recording["attachments"][0]["transcription"]["state"] == "pending"
    run()
    assert len(agent.runs) == 1


def test_answer_waits_for_a_recording_that_arrived_while_no_worker_ran(
    components, agent, send, run
):
    send()
    earlier = datetime.now(UTC) - timedelta(minutes=5)
    with components.database.across_tenants().write() as session:
        session.execute(update(Attachment).values(created_at=earlier))
    run("answers")
    assert agent.queries == []
    run()
    run()

    assert [query["user_request"] for query in agent.queries] == ["Where is my parcel?"]


def test_spoken_answer_is_not_sent_to_the_agent_as_history(agent, send, run):
    send()
    run()
    run()
    agent.reset()
    send("And when does it arrive?")
    run()

    assert agent.runs[-1]["user_request"] == "And when does it arrive?"
    messages = [item for session in agent.sessions.values() for item in session["messages"]]
    assert not [text for _, text in messages if "audio" in text]


def test_recording_that_cannot_be_read_is_left_to_a_colleague_in_the_contacts_language(
    client, colleague, agent, servers, send, run
):
    send("Guten Tag, ich habe eine Frage zu meinem Paket und bitte um eine Antwort.")
    run()
    servers.failures.append(400)
    send()
    run()
    run()

    conversation = read_conversation(client, colleague)
    assert conversation["mode"] == "human"
    assert conversation["answer_error"]["code"] == "engine_rejected"
    assert len(agent.runs) == 1
    transcription = conversation["messages"][-2]["attachments"][0]["transcription"]
    assert transcription["state"] == "failed"
    assert "overloaded" in transcription["error"]["detail"]
    author, text = read_texts(conversation)[-1]
    assert author == "agent"
    assert text.startswith("Ich konnte Ihre Sprachnachricht nicht verstehen.")


@needs_extra
@pytest.mark.parametrize(
    "recording", [b"\0\0\0\x20ftypM4A " + bytes(1000), b"#!AMR\n" + bytes(1000)]
)
def test_recording_that_the_embedded_engine_cannot_decode_names_the_setting(
    client, colleague, agent, components, monkeypatch, servers, send, run, recording
):
    # Without a model: the recording is decoded before the model is loaded.
    monkeypatch.setattr(embedded, "is_downloaded", lambda _data_dir: True)
    engine = embedded.EmbeddedTranscriber(SpeechSettings(recognition="embedded"))
    monkeypatch.setattr(components.transcriber, "transcribe", engine.transcribe)
    servers.recording = recording
    send()
    run()

    conversation = read_conversation(client, colleague)
    assert conversation["mode"] == "human"
    transcription = conversation["messages"][0]["attachments"][0]["transcription"]
    assert transcription["state"] == "failed"
    assert transcription["error"]["code"] == "unsupported_recording"
    assert "Set VOICE_STT to a server that can." in transcription["error"]["detail"]
    assert agent.runs == []


def test_recording_without_speech_is_left_to_a_colleague(client, colleague, servers, send, run):
    servers.transcript = {"text": " "}
    send()
    run()

    conversation = read_conversation(client, colleague)
    assert conversation["answer_error"]["code"] == "no_speech"
    assert read_texts(conversation)[-1][1].startswith("I could not understand your voice message.")


def test_overloaded_server_is_tried_again(client, colleague, agent, servers, send, run):
    servers.failures.extend((503, 429))
    send()
    for _ in range(4):
        run()

    assert len(servers.transcriptions) == 3
    assert len(agent.runs) == 1
    assert read_conversation(client, colleague)["mode"] == "bot"


def test_transcription_of_a_dead_worker_runs_again_once(
    client, colleague, agent, components, servers, send, run
):
    send()
    run("media download")
    dead = components._create_voice_jobs(components.database.across_tenants())
    late = dead._claim()  # its worker ends here
    run("media download", "answers", "deliveries")
    run("voice")
    run()

    assert late is not None
    assert len(servers.transcriptions) == 1
    assert len(agent.runs) == 1
    # The first worker has lost its lease: its result changes nothing.
    dead._fail(late, SpeechFailed("late", "Too late."))
    conversation = read_conversation(client, colleague)
    assert conversation["messages"][0]["attachments"][0]["transcription"]["state"] == "done"
    assert conversation["mode"] == "bot"


def test_job_whose_workers_always_die_is_given_up(client, colleague, components, send, run):
    send()
    run("media download")
    dead = components._create_voice_jobs(components.database.across_tenants())
    for _ in range(voice_jobs._MAX_ATTEMPTS):
        run("media download")
        assert dead._claim() is not None
    run("voice")

    conversation = read_conversation(client, colleague)
    transcription = conversation["messages"][0]["attachments"][0]["transcription"]
    assert transcription["error"]["code"] == "worker_died"
    assert conversation["mode"] == "human"


def test_transcript_of_a_deleted_message_is_deleted(components, send, run):
    send()
    run()
    with components.database.across_tenants().write() as session:
        conversation = session.scalar(select(Conversation))
        recording = session.scalar(select(Message).where(Message.direction == "inbound"))
        components.message_log.delete_message(session, conversation, recording)

    with components.database.across_tenants().read() as session:
        rows = session.scalars(select(VoiceJob).where(VoiceJob.kind == "transcription")).all()
    assert rows == []


def test_text_is_spoken_without_marks_citations_and_urls():
    text = to_spoken_text(
        "**Monday** [1], see [here](https://example.org/a).\n\n- one\n- two [2, 3]"
    )

    assert "Monday, see here" in text
    assert not any(mark in text for mark in ("*", "[", "http"))


class TestWithEncryption:
    """Encryption at rest is on."""

    @pytest.fixture
    def encryption(self):
        return EncryptionSettings(master_keys=(bytes(range(32)),))

    def test_neither_transcript_nor_files_are_stored_in_clear(
        self, client, colleague, agent, servers, settings, send, run
    ):
        if on_postgresql():
            pytest.skip("looks into the SQLite file")
        servers.transcript = {"text": "Where is the Zwetschgenmarmelade?"}
        send()
        run()
        run()

        recording, answer, spoken = read_conversation(client, colleague)["messages"]
        transcription = recording["attachments"][0]["transcription"]
        assert transcription["text"] == "Where is the Zwetschgenmarmelade?"
        assert answer["content"]["text"] == "You said: Where is the Zwetschgenmarmelade?"
        assert spoken["attachments"][0]["state"] == "stored"
        hits = client.get("/search?q=zwetschgenmarmelade", headers=colleague).json["items"]
        assert len(hits) == 2
        for marker in ("zwetschgen", RECORDING.decode(), SPEECH.decode()):
            assert list_files_with(settings.common.data_dir, marker) == []
