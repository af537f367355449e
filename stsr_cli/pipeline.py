"""Overlap: work before and after the network runs in threads of its own, joined to it by small bounded queues.

A queue holds a few frames however long the video is. An exception in a thread is raised again in the one that waits.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class Prefetch(Generic[T]):
    """Runs an iterator in a thread, at most `depth` items ahead.

    Attributes:
        waited_seconds: how long the consumer stood still for want of an item.
    """

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self.waited_seconds = 0.0
        self._items = items
        self._queue: Queue[T | _Failure | None] = Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)

    def _put(self, item: T | _Failure | None) -> None:
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=_POLL_SECONDS)
            except Full:
                continue

    def _run(self) -> None:
        try:
            for item in self._items:
                self._put(item)
                if self._stop.is_set():
                    return
            self._put(None)
        except BaseException as error:  # handed to the consumer, which raises it
            self._put(_Failure(error))
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            begin = time.perf_counter()
            item = self._queue.get()
            self.waited_seconds += time.perf_counter() - begin
            if item is None:
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item


class Sink(Generic[T]):
    """Hands items to `consume` in a thread, at most `depth` behind.

    Leaving the context normally waits for the last item; leaving it by an exception drops what is queued. An item that
    takes long may be consumed in steps: those of an iterable that `consume` returns, of which none is begun then.

    Attributes:
        waited_seconds: how long the producer stood still because the queue was full, or at the end.
    """

    def __init__(self, consume: Callable[[T], Iterable[None] | None], depth: int) -> None:
        self.waited_seconds = 0.0
        self._consume = consume
        self._queue: Queue[T | None] = Queue(depth)
        self._stop = threading.Event()
        # Not Thread.join: interrupted once, it never waits again (Python 3.11).
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="encode", daemon=True)

    def _run(self) -> None:
        try:
            self._consume_all()
        finally:
            self._done.set()

    def _consume_all(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            if item is None:
                return
            try:
                for _ in self._consume(item) or ():
                    if self._stop.is_set():
                        return
            except BaseException as error:  # raised again by put or on leaving
                self._error = error
                return

    def put(self, item: T | None) -> None:
        """Queue one item; raises what `consume` raised earlier."""
        begin = time.perf_counter()
        while True:
            if self._error is not None:
                raise self._error
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
                break
            except Full:
                continue
        self.waited_seconds += time.perf_counter() - begin

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                begin = time.perf_counter()
                self.put(None)
                self._done.wait()
                self.waited_seconds += time.perf_counter() - begin
        finally:  # also when the wait itself is interrupted: nobody may consume behind the caller's back
            self._stop.set()
            self._done.wait()
        if kind is None and self._error is not None:
            raise self._error
