"""Order of ingestion jobs, claims, heartbeats and retries."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.chassis.database.sessions import open_database
from backend.services.rag.domain.ingestion.queue import (
    MAX_INTERRUPTIONS,
    IngestionQueue,
    WorkersStalled,
)
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
    return IngestionQueue(database)


def add_documents(database, tenant_id, count=1):
    with database.write() as session:
        collection = CollectionRow(
            tenant_id=tenant_id, owner_id="user", name=new_id("name"), grants=[]
        )
        rows = [
            DocumentRow(
                collection=collection,
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


def get_columns(database, document_id, *columns):
    with database.read() as session:
        row = session.get(DocumentRow, document_id)
        return tuple(getattr(row, column) for column in columns)


def set_times_to_past(database, **columns):
    past = utc_now() - timedelta(hours=1)
    with database.write() as session:
        session.execute(sa.update(DocumentRow).values(dict.fromkeys(columns, past)))


def test_queue_alternates_between_tenants(database, queue):
    many = add_documents(database, "tenant-many", 50)
    first = queue.claim_next_job()
    (single,) = add_documents(database, "tenant-single")

    following = [queue.claim_next_job().document_id for _ in range(4)]

    assert first.document_id in many
    assert following[0] == single
    assert set(following[1:]) <= set(many)


def test_queue_returns_oldest_document_of_a_tenant_first(database, queue):
    documents = sorted(add_documents(database, "tenant", 3))

    assert [queue.claim_next_job().document_id for _ in range(3)] == documents
    assert queue.claim_next_job() is None


def test_concurrent_workers_never_claim_the_same_document(database):
    documents = add_documents(database, "tenant-a", 10) + add_documents(database, "tenant-b", 10)
    claimed, barrier = [], threading.Barrier(4)

    def claim_all():
        queue = IngestionQueue(database)
        barrier.wait()
        while job := queue.claim_next_job():
            claimed.append(job.document_id)

    workers = [threading.Thread(target=claim_all) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(claimed) == sorted(documents)


def test_claim_expires_without_heartbeat_and_is_kept_with_heartbeat(database, queue):
    add_documents(database, "tenant", 2)
    silent, alive = queue.claim_next_job(), queue.claim_next_job()
    set_times_to_past(database, heartbeat=True)
    assert queue.record_heartbeat([alive.claim]) == {alive.claim}

    queue.recover_expired_claims()

    assert queue.record_heartbeat([silent.claim]) == set()
    assert queue.claim_next_job().document_id == silent.document_id
    assert queue.claim_next_job() is None


def test_document_fails_after_max_interruptions(database, queue):
    (document,) = add_documents(database, "tenant")
    for _ in range(MAX_INTERRUPTIONS):
        assert queue.claim_next_job()
        set_times_to_past(database, heartbeat=True)
        queue.recover_expired_claims()
        set_times_to_past(database, not_before=True)

    assert queue.claim_next_job() is None
    assert get_columns(database, document, "status", "error_code") == ("failed", "gave_up")


def test_retry_delay_doubles_with_each_attempt(database, queue):
    (document,) = add_documents(database, "tenant")
    for seconds in (1, 2, 4, 8):
        job, before = queue.claim_next_job(), utc_now()
        queue.retry_job_later(job)
        assert queue.claim_next_job() is None
        (due,) = get_columns(database, document, "not_before")
        assert due - before >= timedelta(seconds=seconds)
        set_times_to_past(database, not_before=True)


def test_returned_job_does_not_count_as_attempt(database, queue):
    (document,) = add_documents(database, "tenant")
    for _ in range(2 * MAX_INTERRUPTIONS):
        queue.return_job(queue.claim_next_job())

    assert get_columns(database, document, "status", "attempts") == ("queued", 0)


def set_times(database, document_id, **changes):
    with database.write() as session:
        session.execute(
            sa.update(DocumentRow).where(DocumentRow.id == document_id).values(**changes)
        )


@pytest.mark.parametrize("hours", [-1, 1])
def test_claim_expires_after_the_clock_was_changed(database, queue, hours):
    (document_id,) = add_documents(database, "a")
    queue.claim_next_job()
    set_times(database, document_id, heartbeat=utc_now() + timedelta(hours=hours))

    queue.recover_expired_claims()

    assert queue.claim_next_job().document_id == document_id


def test_claim_with_a_recent_heartbeat_is_kept(database, queue):
    (document_id,) = add_documents(database, "a")
    queue.claim_next_job()
    # The clocks of two hosts differ by seconds.
    set_times(database, document_id, heartbeat=utc_now() + timedelta(seconds=10))

    queue.recover_expired_claims()

    assert queue.claim_next_job() is None


def test_document_is_due_after_the_clock_was_set_back(database, queue):
    (document_id,) = add_documents(database, "a")
    set_times(database, document_id, not_before=utc_now() + timedelta(hours=1))

    assert queue.claim_next_job().document_id == document_id


def test_workers_count_as_stalled_after_a_minute_without_work(database, queue):
    queue.check_workers()  # nothing waits
    add_documents(database, "tenant", 2)
    queue.check_workers()  # a worker may be starting
    set_times_to_past(database, created_at=True)
    with pytest.raises(WorkersStalled):
        queue.check_workers()

    job = queue.claim_next_job()
    queue.record_heartbeat([job.claim])
    queue.check_workers()  # one document is processed, the other waits
    set_times_to_past(database, heartbeat=True)
    with pytest.raises(WorkersStalled):
        queue.check_workers()


def test_document_that_is_tried_again_later_does_not_count_as_stalled(database, queue):
    add_documents(database, "tenant")
    set_times_to_past(database, created_at=True)
    with database.write() as session:
        later = utc_now() + timedelta(minutes=5)
        session.execute(sa.update(DocumentRow).values(not_before=later))

    queue.check_workers()


def test_document_is_due_or_claimed_until_its_job_ends(database, queue):
    assert not queue.has_due_or_claimed_document()
    add_documents(database, "ada")
    assert queue.has_due_or_claimed_document()
    job = queue.claim_next_job()
    assert not queue.has_due_document()
    assert queue.has_due_or_claimed_document()

    queue.fail_job(job, "no_text", "The file contains no text.")

    assert not queue.has_due_or_claimed_document()


def test_only_the_first_claim_of_a_document_is_the_first(database, queue):
    add_documents(database, "tenant")
    first = queue.claim_next_job()
    queue.return_job(first)

    assert [first.is_first, queue.claim_next_job().is_first] == [True, False]


def test_due_job_is_found_without_claiming_it(database, queue):
    (document_id,) = add_documents(database, "tenant")

    assert queue.find_due_job().document_id == document_id
    assert queue.claim_next_job().document_id == document_id
    assert queue.find_due_job() is None
