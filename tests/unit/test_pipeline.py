"""The two queues: order, bounds, errors that cross threads, and no thread left behind."""

import itertools
import signal
import threading
import time

import pytest

from stsr_cli.pipeline import Prefetch, Sink


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= before


def wait_until(is_true):
    deadline = time.monotonic() + 5
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Boom(Exception):
    pass


@pytest.mark.parametrize("depth", [1, 4])
def test_prefetch_keeps_the_order(depth):
    with Prefetch(iter(range(50)), depth) as items:
        assert list(items) == list(range(50))


def test_prefetch_of_nothing():
    with Prefetch(iter(()), 2) as items:
        assert list(items) == []


def test_prefetch_passes_falsy_items_on():
    with Prefetch(iter([0, "", [], False]), 2) as items:
        assert list(items) == [0, "", [], False]


def test_prefetch_runs_ahead_but_not_far():
    made = []
    source = (made.append(index) or index for index in itertools.count())
    with Prefetch(source, 3) as items:
        taken = iter(items)
        next(taken)
        wait_until(lambda: len(made) >= 5)
        time.sleep(0.05)
        assert len(made) == 5  # one taken, three in the queue, one in the hand


def test_prefetch_raises_the_source_s_error_after_its_items():
    def source():
        yield 1
        yield 2
        raise Boom("decoder")

    with Prefetch(source(), 4) as items:
        taken = iter(items)
        assert [next(taken), next(taken)] == [1, 2]
        with pytest.raises(Boom, match="decoder"):
            next(taken)


def test_leaving_prefetch_early_closes_the_source():
    closed = []

    def source():
        try:
            yield from itertools.count()
        finally:
            closed.append(threading.current_thread() is not threading.main_thread())

    with Prefetch(source(), 2) as items:
        assert next(iter(items)) == 0
    assert closed == [True]


def test_an_error_while_consuming_ends_prefetch():
    with pytest.raises(Boom), Prefetch(itertools.count(), 2) as items:
        for _ in items:
            raise Boom


@pytest.mark.parametrize("depth", [1, 4])
def test_sink_keeps_the_order_and_finishes(depth):
    consumed = []

    def consume(item):
        time.sleep(0.001)
        consumed.append(item)

    with Sink(consume, depth) as sink:
        for item in range(20):
            sink.put(item)
    assert consumed == list(range(20))


def test_sink_consumes_in_one_other_thread():
    threads = set()
    with Sink(lambda _: threads.add(threading.current_thread()), 2) as sink:
        for item in range(5):
            sink.put(item)
    assert len(threads) == 1
    assert threading.main_thread() not in threads


def test_sink_makes_a_fast_producer_wait():
    consumed, put = [], 0
    may_go = threading.Event()

    def consume(item):
        may_go.wait(5)
        consumed.append(item)

    def produce(sink):
        nonlocal put
        for item in range(10):
            sink.put(item)
            put += 1

    with Sink(consume, 2) as sink:
        producer = threading.Thread(target=produce, args=(sink,))
        producer.start()
        wait_until(lambda: put >= 3)
        time.sleep(0.05)
        assert put == 3  # one in the hand, two in the queue
        may_go.set()
        producer.join()
    assert consumed == list(range(10))
    assert sink.waited_seconds > 0


def test_sink_raises_the_consumer_s_error_in_put():
    def consume(item):
        raise Boom("encoder")

    with pytest.raises(Boom, match="encoder"), Sink(consume, 1) as sink:
        for item in range(100):
            sink.put(item)
    with pytest.raises(Boom), Sink(consume, 1) as sink:
        sink.put(0)
        wait_until(lambda: not sink._thread.is_alive())


def test_sink_raises_the_consumer_s_error_on_leaving():
    def consume(item):
        time.sleep(0.02)
        raise Boom("last")

    with pytest.raises(Boom, match="last"), Sink(consume, 4) as sink:
        sink.put(0)


def test_an_error_while_producing_drops_what_is_queued():
    consumed = []

    def consume(item):
        time.sleep(0.02)
        consumed.append(item)

    with pytest.raises(Boom, match="network"), Sink(consume, 8) as sink:
        for item in range(8):
            sink.put(item)
        raise Boom("network")
    num_consumed = len(consumed)
    assert num_consumed < 8
    time.sleep(0.05)
    assert len(consumed) == num_consumed


@pytest.fixture
def _ctrl_c_counts():
    """A shell ignores Ctrl-C in what it runs in the background, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
@pytest.mark.usefixtures("_ctrl_c_counts")
def test_interrupt_while_the_sink_drains_leaves_no_thread_at_work():
    """Ctrl-C while the last frames are encoded: the encoder's file is closed next, so it must be at rest."""
    is_working = threading.Event()

    def consume(item):
        is_working.set()
        time.sleep(0.05)
        is_working.clear()

    def interrupt():
        time.sleep(0.08)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    stop = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt), Sink(consume, 8) as sink:
        for item in range(8):
            sink.put(item)
        stop.start()
    is_at_rest = not sink._thread.is_alive() and not is_working.is_set()
    sink._stop.set()
    sink._thread.join()
    stop.join()
    assert is_at_rest


def test_both_together_stop_when_the_consumer_fails():
    closed = []

    def source():
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    def consume(item):
        if item == 5:
            raise Boom("disk full")

    with (
        pytest.raises(Boom, match="disk full"),
        Prefetch(source(), 2) as items,
        Sink(consume, 2) as sink,
    ):
        for item in items:
            sink.put(item)
    assert closed == [True]


def test_an_item_that_never_ends_is_left_where_the_producer_fails():
    is_begun, steps = threading.Event(), []

    def consume(item):
        for step in itertools.count():
            steps.append(step)
            is_begun.set()
            yield

    with pytest.raises(Boom), Sink(consume, 1) as sink:
        sink.put(0)
        is_begun.wait()
        raise Boom
    assert not sink._thread.is_alive() or sink._done.is_set()
    assert steps == list(range(len(steps)))
