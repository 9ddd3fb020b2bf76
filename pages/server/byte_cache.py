"""A cache for all sessions that is bounded by bytes: values differ in size by a factor of thousands."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteCache(Generic[V]):
    """Values by key, the longest unused dropped first. A value is made once, while others wait for it and for no other."""

    def __init__(self, most: float, *, size: Callable[[V], float]) -> None:
        self.most, self.size = most, size
        self._lock = threading.Lock()  # of the two tables; never held while a value is made
        self._values: OrderedDict[Hashable, tuple[V, float]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of this key, made if it is not there. A value that is larger than all of the cache is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:
                    return self._values[key][0]
            try:
                value = make()
                self._keep(key, value)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def grown(self, key: Hashable) -> None:
        """Measure a value again that has changed since."""
        with self._lock:
            kept = self._values.get(key)
        if kept is not None:
            self._keep(key, kept[0])

    @property
    def bytes(self) -> float:
        """What all values take."""
        with self._lock:
            return sum(size for _, size in self._values.values())

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._values.clear()

    def _keep(self, key: Hashable, value: V) -> None:
        size = self.size(value)
        with self._lock:
            self._values[key] = (value, size)
            self._values.move_to_end(key)
            total = sum(size for _, size in self._values.values())
            while total > self.most and self._values:
                _, (_, freed) = self._values.popitem(last=False)
                total -= freed
