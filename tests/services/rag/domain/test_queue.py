"""Whose turn it is, whoever asks, and what becomes of readings that end without a word."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import open_database
from backend.services.rag.domain.queue import MOST_INTERRUPTIONS, Queue
from backend.services.rag.store.base import new_id, utc_now
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow


@pytest.fixture
def database(each_database_url):
    database = open_database(each_database_url, "rag")
    database.migrate("rag")
    yield database.across_tenants()
    database.engine.dispose()


@pytest.fixture
def queue(database):
    return Queue(database)


def upload(database, tenant_id, count=1):
    with database.write() as session:
        shelf = CollectionRow(tenant_id=tenant_id, owner_id="user", name=new_id("name"), grants=[])
        rows = [
            DocumentRow(
                collection=shelf,
                tenant_id=tenant_id,
                owner_id="user",
                filename=f"{number}.txt",
                title="",
                title_given=False,
                content_type="text/plain",
                size_bytes=1,
                sha256=f"{number:064}",
                blob=str(number),
                attributes={},
            )
            for number in range(count)
        ]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def state(database, document_id, *columns):
    with database.read() as session:
        row = session.get(DocumentRow, document_id)
        return tuple(getattr(row, column) for column in columns)


def let_time_pass(database, **columns):
    past = utc_now() - timedelta(hours=1)
    with database.write() as session:
        session.execute(sa.update(DocumentRow).values(dict.fromkeys(columns, past)))


def test_tenants_take_turns_however_much_each_has_sent(database, queue):
    many = upload(database, "tenant-many", 50)
    first = queue.take()
    (single,) = upload(database, "tenant-single")

    following = [queue.take().document_id for _ in range(4)]

    assert first.document_id in many
    assert following[0] == single
    assert set(following[1:]) <= set(many)


def test_within_a_tenant_the_oldest_is_first(database, queue):
    sent = sorted(upload(database, "tenant", 3))

    assert [queue.take().document_id for _ in range(3)] == sent
    assert queue.take() is None


def test_two_readers_never_take_the_same_document(database):
    sent = upload(database, "tenant-a", 10) + upload(database, "tenant-b", 10)
    taken, together = [], threading.Barrier(4)

    def take_all():
        queue = Queue(database)
        together.wait()
        while job := queue.take():
            taken.append(job.document_id)

    readers = [threading.Thread(target=take_all) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert sorted(taken) == sorted(sent)


def test_a_silent_reader_loses_its_document_and_one_that_gives_signs_does_not(database, queue):
    upload(database, "tenant", 2)
    silent, alive = queue.take(), queue.take()
    let_time_pass(database, heartbeat=True)
    assert queue.beat([alive.claim]) == {alive.claim}

    queue.recover()

    assert queue.beat([silent.claim]) == set()
    assert queue.take().document_id == silent.document_id
    assert queue.take() is None


def test_what_interrupts_every_reading_is_given_up_at_last(database, queue):
    (document,) = upload(database, "tenant")
    for _ in range(MOST_INTERRUPTIONS):
        assert queue.take()
        let_time_pass(database, heartbeat=True)
        queue.recover()
        let_time_pass(database, not_before=True)

    assert queue.take() is None
    assert state(database, document, "status", "error_code") == ("failed", "gave_up")


def test_the_pauses_between_tries_grow(database, queue):
    (document,) = upload(database, "tenant")
    for pause in (1, 2, 4, 8):
        job, before = queue.take(), utc_now()
        queue.try_later(job)
        assert queue.take() is None
        (due,) = state(database, document, "not_before")
        assert due - before >= timedelta(seconds=pause)
        let_time_pass(database, not_before=True)


def test_handing_back_is_no_failure(database, queue):
    (document,) = upload(database, "tenant")
    for _ in range(2 * MOST_INTERRUPTIONS):
        queue.hand_back(queue.take())

    assert state(database, document, "status", "attempts") == ("queued", 0)
