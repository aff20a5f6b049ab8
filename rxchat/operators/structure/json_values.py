"""What `JsonReader` builds: a value that grows, or the elements of one array in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

__all__ = ["Elements", "Growing"]


class Growing:
    """The value so far, which grows in place.

    A text that comes in many pieces is appended to while nothing else refers to it, which CPython
    does in place as well: a long text costs what it is long, not its square. Whoever keeps a text
    of the value from one piece to the next makes it be copied, once for each.
    """

    def __init__(self) -> None:
        self._root: list[Any] = []  # of one value, so that it stands in a container, too
        self._into: Any = self._root
        self._key: Any = -1  # of the latest value, in a list always the last
        self._around: list[tuple[Any, Any]] = []
        self.changed = False

    @property
    def value(self) -> Any:
        """The value so far, the same object each time if it is an object or an array."""
        return self._root[0]

    @property
    def is_inside(self) -> bool:
        """Whether an array or an object is open."""
        return bool(self._around)

    def open(self, container: list[Any] | dict[str, Any]) -> None:
        self.put(container, whole=False)
        self._around.append((self._into, self._key))
        self._into, self._key = container, -1

    def close(self) -> None:
        self._into, self._key = self._around.pop()

    def key(self, name: str) -> None:
        self._key = name

    def put(self, value: Any, *, whole: bool) -> None:
        self.changed = True
        if cast("type[object]", type(self._into)) is list:
            self._into.append(value)
        else:
            self._into[self._key] = value

    def more(self, text: str, *, whole: bool) -> None:
        if text:
            self.changed = True
            into, key = self._into, self._key
            grown = into[key]
            into[key] = None  # now `grown` is the only reference
            grown += text
            into[key] = grown


class Elements:
    """Each element, when it is whole, of the array at the end of a path of names.

    Nothing else is kept: of other values, only how deep the reader is in them.
    """

    def __init__(self, path: Sequence[str]) -> None:
        self._path = path
        self._name = ""
        self._way = 0  # objects and the array that are open on the way
        self._aside = 0  # arrays and objects that are open elsewhere
        self._element: Growing | None = None
        self.whole: list[Any] = []
        self.found = False

    @property
    def _in_array(self) -> bool:
        return self._way > len(self._path)

    def open(self, container: list[Any] | dict[str, Any]) -> None:
        if self._element is None and self._in_array:
            self._element = Growing()
        if self._element is not None:
            self._element.open(container)
        elif not self._aside and self._is_on_the_way(container):
            self._way += 1
            self.found = self.found or self._in_array
        else:
            self._aside += 1

    def close(self) -> None:
        if self._element is not None:
            self._element.close()
            self._end_element()
        elif self._aside:
            self._aside -= 1
        else:
            self._way -= 1

    def key(self, name: str) -> None:
        if self._element is not None:
            self._element.key(name)
        elif not self._aside:
            self._name = name

    def put(self, value: Any, *, whole: bool) -> None:
        if self._element is None:
            if not self._in_array:
                return
            self._element = Growing()
        self._element.put(value, whole=whole)
        if whole:
            self._end_element()

    def more(self, text: str, *, whole: bool) -> None:
        if self._element is not None:
            self._element.more(text, whole=whole)
            if whole:
                self._end_element()

    def _is_on_the_way(self, container: list[Any] | dict[str, Any]) -> bool:
        is_named = self._way == 0 or self._name == self._path[self._way - 1]
        kind = list if self._way == len(self._path) else dict
        return is_named and type(container) is kind

    def _end_element(self) -> None:
        if self._element is not None and not self._element.is_inside:
            self.whole.append(self._element.value)
            self._element = None
