"""The order of the queue, and which workers count as busy, as plain data."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill_core.runs.queue import RECENT_RUNS, Queue, host


def filled(*owners):
    """A queue with one job for each owner in turn, and the jobs."""
    queue = Queue()
    return queue, [queue.add(f"run{number}", owner) for number, owner in enumerate(owners)]


def test_everybodys_first_run_goes_before_anybodys_second():
    queue, (a1, a2, a3, b1, b2) = filled(*"aaabb")
    assert queue.waiting() == [a1, b1, a2, b2, a3]


def test_a_run_on_a_worker_counts_as_its_owners_turn():
    queue, (a1, a2, b1) = filled(*"aab")
    queue.assign(a1, "run0-x", "tcp://one:1")
    assert queue.waiting() == [b1, a2]
    assert [queue.position(job.run_id) for job in (a1, a2, b1)] == [0, 2, 1]


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_nobody_waits_for_two_runs_of_another_owner_who_came_later(owners):
    queue, jobs = filled(*owners)
    waiting = queue.waiting()
    assert sorted(job.number for job in waiting) == [job.number for job in jobs]
    for earlier in jobs:
        before = waiting[: waiting.index(earlier)]
        rank = [job for job in jobs if job.owner_hash == earlier.owner_hash].index(earlier)
        for owner in set(owners) - {earlier.owner_hash}:
            assert sum(job.owner_hash == owner for job in before) <= rank + 1


def test_a_removed_run_has_no_position_and_its_worker_stays_busy_until_its_task_has_ended():
    queue, (job,) = filled("a")
    queue.assign(job, "run0-x", "tcp://one:1")
    assert queue.remove("run0") is job
    assert queue.position("run0") is None and queue.current("run0-x") is None
    assert queue.busy_workers() == {"tcp://one:1"}
    queue.task_ended("run0-x")
    assert queue.busy_workers() == set()


def test_a_job_that_was_removed_cannot_be_assigned():
    queue, (job,) = filled("a")
    queue.remove("run0")
    assert not queue.assign(job, "run0-x", "tcp://one:1")
    assert queue.busy_workers() == set() and job.submission == ""


def test_discarding_an_old_job_leaves_the_new_one_of_the_same_run():
    queue, (old,) = filled("a")
    new = queue.add("run0", "a")
    assert not queue.discard(old)
    assert queue.get("run0") is new
    assert queue.discard(new)
    assert queue.get("run0") is None


def test_a_requeued_job_keeps_its_place_and_forgets_its_task():
    queue, (first, second) = filled(*"aa")
    queue.assign(first, "run0-x", "tcp://one:1")
    assert queue.current("run0-x") is first
    queue.requeue(first)
    assert queue.waiting() == [first, second]
    assert queue.current("run0-x") is None


def test_tasks_are_counted_by_the_machine_of_their_worker():
    queue, jobs = filled(*"abc")
    for job, worker in zip(jobs, ("tcp://10.0.0.1:1", "tcp://10.0.0.1:2", "tcp://10.0.0.2:1"), strict=True):
        queue.assign(job, f"{job.run_id}-x", worker)
    assert [queue.tasks_on_host_of(job.worker) for job in jobs] == [2, 2, 1]
    assert host("tcp://[::1]:40") == "[::1]"


def test_many_threads_lose_no_job():
    queue = Queue()
    threads = [threading.Thread(target=lambda i=i: [queue.add(f"{i}.{n}", "a") for n in range(50)]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(queue.waiting()) == len({job.number for job in queue.jobs()}) == 400


def test_the_waiting_time_follows_the_estimates_of_the_runs_before_it(monkeypatch):
    """A short race before it, or a sweep of a hundred times as much work: the last runs give the machine's factor."""
    now = [0.0]
    monkeypatch.setattr("distill_core.runs.queue.time.monotonic", lambda: now[0])
    queue = Queue()
    estimates = {"short": 1.5, "long": 99.5, "unknown": 0.0, "last": 1.5}
    for name, estimate in {"first": 1.5, **estimates}.items():
        queue.add(name, name, estimate=estimate)
    for number in range(RECENT_RUNS):
        queue.assign(queue.get("first"), f"first-{number}", "a")
        now[0] += 6.0
        queue.task_ended(f"first-{number}", finished=True)  # (1.5 + 0.5) s were estimated, 6 s it took: three times as long
    queue.remove("first")
    assert [queue.seconds_until(name, workers=1) for name in estimates] == pytest.approx([0.0, 6.0, 306.0, 312.0])
    queue.assign(queue.get("short"), "short-1", "a")
    now[0] += 2.0
    assert [queue.seconds_until(name, workers=1) for name in ("long", "unknown")] == pytest.approx([4.0, 304.0])


def test_runs_slower_than_estimated_count_more_the_more_of_them_there_are(monkeypatch):
    """The first of a class are slow beside all the pages that are opened; a slow machine shows in further ones."""
    now, found = [0.0], []
    monkeypatch.setattr("distill_core.runs.queue.time.monotonic", lambda: now[0])
    queue = Queue()
    queue.add("next", "somebody", estimate=3.5)
    queue.add("last", "somebody", estimate=3.5)
    for number in range(RECENT_RUNS + 2):
        queue.assign(queue.add("slow", "another", estimate=1.5), f"slow-{number}", "a")
        now[0] += 16.0
        queue.task_ended(f"slow-{number}", finished=True)  # eight times as long as estimated
        queue.remove("slow")
        found.append(queue.seconds_until("last", workers=1))
    assert found == pytest.approx([4 * 8 ** (min(n, RECENT_RUNS) / RECENT_RUNS) for n in range(1, RECENT_RUNS + 3)])


def test_runs_that_were_stopped_or_trained_one_epoch_do_not_count_as_fast(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("distill_core.runs.queue.time.monotonic", lambda: now[0])
    queue = Queue()
    queue.add("next", "somebody", estimate=59.5)
    queue.add("last", "somebody", estimate=59.5)
    for number, took in enumerate((60.0, 60.0, 0.05, 3.0)):
        queue.assign(queue.add("run", "another", estimate=59.5), f"run-{number}", "a")
        now[0] += took
        queue.task_ended(f"run-{number}", finished=took == 60)
        queue.remove("run")
    assert queue.seconds_until("last", workers=1) == pytest.approx(60)


def test_the_waiting_time_is_that_of_the_runs_before_it_on_all_workers(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("distill_core.runs.queue.time.monotonic", lambda: now[0])
    queue = Queue()
    jobs = [queue.add(f"run{n}", f"owner{n}") for n in range(6)]
    assert queue.seconds_until("run3", workers=2) is None  # nothing has ended yet
    now[0] = 1.0
    for job, worker in zip(jobs[:2], "ab", strict=True):
        queue.assign(job, f"{job.run_id}-1", worker)
    now[0] = 11.0
    queue.task_ended("run0-1", finished=True)
    queue.discard(jobs[0])
    queue.assign(jobs[2], "run2-1", "a")  # began now; run1 began ten seconds ago
    assert [queue.seconds_until(f"run{n}", workers=2) for n in (3, 4, 5)] == [0.0, 10.0, 10.0]
    now[0] = 15.0
    assert [queue.seconds_until(f"run{n}", workers=2) for n in (3, 4, 5)] == [0.0, 6.0, 10.0]
    assert queue.seconds_until("run1", workers=2) is None  # it does not wait
