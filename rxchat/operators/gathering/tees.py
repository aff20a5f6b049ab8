"""One answer in two places: a file, or a function, beside the stream."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any, Protocol, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.errors import UsageError
from rxchat.events import Reset
from rxchat.operators.texts.shaping import piece_of
from rxchat.stream import Hop, Scope, lift

__all__ = ["Sink", "tee_to"]

T = TypeVar("T")


class _Writable(Protocol):
    def write(self, data: Any, /) -> object: ...


Sink: TypeAlias = str | PathLike[str] | _Writable | Callable[[str], object]

SEAM = "\n\n"  # where an answer begins anew, in what cannot be emptied


def tee_to(sink: Sink) -> Callable[[Observable[T]], Observable[T]]:
    """Also write the text to a file, or hand it piece by piece to a function.

    Everything passes, and each piece is written and flushed before it does. A path is opened for
    writing when somebody subscribes, and closed however that ends; if it cannot be opened, nothing
    is asked. Open files, of text or bytes (UTF-8), stay open. After a `Reset` that restarts, the
    file of a path begins anew, too; the others get an empty line. If writing fails later, the event
    loop's exception handler is told, no more is written, and the stream goes on. Nothing is kept
    in memory.

    >>> from rxchat import of
    >>> heard = []
    >>> of("Hel", "lo").pipe(tee_to(heard.append)).run(), heard
    ('lo', ['Hel', 'lo'])
    """
    open_ = _opener(sink)

    def op(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            try:
                writer = open_()
            except OSError as error:
                refusal = UsageError(f"tee_to({str(sink)!r}) cannot be written: {error}")
                refusal.__cause__ = error
                observer.on_error(refusal)
                return Disposable()
            return _Tee(observer, writer, scope).over(source)

        return Observable(subscribe)

    return op


class _Calling:
    """Hands text to a function."""

    def __init__(self, write: Callable[[Any], object]) -> None:
        self.write = write

    def restart(self) -> None:
        self.write(SEAM)

    def close(self) -> None:
        """It is not ours to close."""


class _Filing(_Calling):
    """Writes to a file that somebody has opened."""

    def __init__(self, file: Any) -> None:
        super().__init__(self._write)
        self._file = file
        mode = getattr(file, "mode", "")
        self._binary = isinstance(file, io.RawIOBase | io.BufferedIOBase) or (
            isinstance(mode, str) and "b" in mode
        )
        self._flush: Callable[[], object] | None = getattr(file, "flush", None)

    def _write(self, text: str) -> None:
        self._file.write(text.encode(errors="replace") if self._binary else text)
        if self._flush is not None:
            self._flush()


class _Owning(_Filing):
    """Writes to a file of its own."""

    def __init__(self, path: str | PathLike[str]) -> None:
        # As it came: no line ending is translated.
        super().__init__(io.BufferedWriter(io.FileIO(path, "wb")))

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def close(self) -> None:
        self._file.close()


def _opener(sink: Any) -> Callable[[], _Calling]:
    """What begins to write, once for each subscription."""
    if isinstance(sink, str) or hasattr(sink, "__fspath__"):
        return partial(_Owning, sink)
    if hasattr(sink, "write"):
        return partial(_Filing, sink)
    if inspect.iscoroutinefunction(sink):
        raise UsageError("tee_to() takes a plain function: async ones go into ops.map_async")
    if not callable(sink):
        raise UsageError(f"tee_to() takes a path, an open file or a function, not {sink!r}")
    return partial(_Calling, sink)


class _Tee(Hop[Any], DisposableBase):
    __slots__ = ("_emit", "_scope", "_upstream", "_writer")

    def __init__(self, observer: abc.ObserverBase[Any], writer: _Calling, scope: Scope) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._writer: _Calling | None = writer
        self._scope = scope
        self._upstream: DisposableBase = Disposable()

    def over(self, source: Observable[Any]) -> DisposableBase:
        """Subscribe to what is written."""
        try:
            self._upstream = lift(source, self, self._scope)
        except Exception:
            self._close()
            raise
        return self

    def on_next(self, item: Any) -> None:
        writer = self._writer
        if writer is not None:
            try:
                piece = piece_of(item)
                if piece:
                    writer.write(piece)
                elif type(item) is Reset and item.kind == "restart":
                    writer.restart()
            except Exception as error:
                self._scope.report("ops.tee_to cannot write; it writes no more", error)
                self._close()
        self._emit(item)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except Exception as error:
                self._scope.report("ops.tee_to could not close its file", error)

    def on_error(self, error: Exception) -> None:
        self._close()
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._close()
        self.observer.on_completed()

    def dispose(self) -> None:
        self._close()
        self._upstream.dispose()
