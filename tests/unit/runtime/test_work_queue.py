import asyncio

import pytest

from headstay.runtime.backoff import Backoff
from headstay.runtime.queue import QueueShutDownError, WorkQueue

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_keys_leave_in_the_order_they_came() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in "cab":
        queue.add(key)
    queue.add("c")
    assert [await queue.get() for _ in range(3)] == ["c", "a", "b"]


async def test_a_locked_key_is_not_handed_out_until_it_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await queue.get()
    queue.done("a")
    assert await queue.get() == "a"


async def test_a_key_not_added_while_locked_does_not_come_back() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.done(await queue.get())
    assert queue.idle


async def test_of_several_delays_the_earliest_stands() -> None:
    queue: WorkQueue[str] = WorkQueue()
    began = now()
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 7)
    queue.done(await queue.get())
    assert now() - began == pytest.approx(3)
    await asyncio.sleep(20)
    assert len(queue) == 0


async def test_a_delayed_key_can_still_be_added_at_once_and_comes_again_when_due() -> None:
    queue: WorkQueue[str] = WorkQueue()
    began = now()
    queue.add_after("a", 5)
    queue.add("a")
    queue.done(await queue.get())
    assert now() == began
    await queue.get()
    assert now() - began == pytest.approx(5)


async def test_the_back_off_of_a_key_grows_to_the_cap_and_is_its_own() -> None:
    queue: WorkQueue[str] = WorkQueue(backoff=Backoff(base=1, cap=8, jitter=0.5), draw=lambda: 0.0)
    delays = []
    for _ in range(6):
        delays.append(queue.add_rate_limited("a"))
        queue.done(await queue.get())
    assert delays == [1, 2, 4, 8, 8, 8]
    assert queue.add_rate_limited("b") == 1
    queue.forget("a")
    assert queue.add_rate_limited("a") == 1


async def test_jitter_shortens_and_never_lengthens_a_delay() -> None:
    backoff = Backoff(base=1, cap=8, jitter=0.5)
    assert backoff.delay(3, lambda: 0.0) == 8
    assert backoff.delay(3, lambda: 0.999) == pytest.approx(4, abs=0.01)
    assert backoff.delay(10_000, lambda: 0.0) == 8


async def test_two_waiting_workers_get_two_different_keys() -> None:
    queue: WorkQueue[str] = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    assert sorted(await asyncio.gather(*workers)) == ["a", "b"]


async def test_a_wake_up_meant_for_a_cancelled_worker_reaches_another() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    async with asyncio.timeout(1):
        assert await second == "a"


async def test_a_worker_cancelled_before_its_wake_up_leaves_nothing_behind() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    first.cancel()
    queue.add("a")
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await queue.get() == "a"


async def test_shutting_down_ends_waiting_and_later_gets_and_ignores_adds() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_after("late", 1)
    queue.shut_down()
    with pytest.raises(QueueShutDownError):
        await waiting
    queue.add("a")
    with pytest.raises(QueueShutDownError):
        await queue.get()


async def test_many_adds_over_few_keys_never_overlap_and_never_miss_the_last_change() -> None:
    queue: WorkQueue[int] = WorkQueue()
    wanted = dict.fromkeys(range(30), 0)
    seen = dict.fromkeys(range(30), 0)
    running: set[int] = set()

    async def work() -> None:
        while True:
            key = await queue.get()
            assert key not in running
            running.add(key)
            value = wanted[key]
            await asyncio.sleep(0.001)
            seen[key] = value
            running.remove(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for number in range(20_000):
        key = number * 7919 % 30
        wanted[key] = number
        queue.add(key)
        if number % 100 == 0:
            await asyncio.sleep(0.0005)
    await asyncio.sleep(1)
    for worker in workers:
        worker.cancel()
    assert seen == wanted
