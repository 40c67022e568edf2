"""Pickles and .npy files of old datasets, which are untrusted: only plain data is ever built from them.

Admitted are None, booleans, numbers, text, bytes, lists, tuples, dicts and sets of those, and numpy arrays and
scalars of numbers, text or such objects; keys are text, bytes or numbers. Everything else is refused by
name. Text of Python 2 comes as latin-1.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sources.pickle_scan import ScanError, scan
from schemas.errors import UsageError, fault_of_file
from schemas.store import Store

_NUMBERS_AND_TEXT = "biufcSU"
_ITEM_BYTES = 1 << 20


def load_pickle(store: Store, path: str) -> Any:
    """The plain data of a pickle.

    Raises:
        UsageError: naming the file: it is no pickle, cut short, or holds anything else; see `unpickled`.
    """
    return unpickled(_content(store, path), f"{store.root}/{path}")


def load_npy(store: Store, path: str) -> npt.NDArray[Any]:
    """The array of a .npy file; cells that are pickled objects are read as `unpickled` reads them.

    Raises:
        UsageError: naming the file: it is no .npy file, cut short, or holds anything but plain data.
    """
    return array_of_npy(_content(store, path), f"{store.root}/{path}")


def unpickled(data: bytes, where: str) -> Any:
    """The plain data of one pickle. Arrays come as a subclass of `numpy.ndarray`.

    Args:
        where: how errors name the file, and the cell in it.

    Raises:
        UsageError: it is no pickle, cut short, or names anything but plain data.
    """
    try:
        scan(data)
        return _PlainUnpickler(io.BytesIO(data), encoding="latin1").load()
    except ScanError as error:
        raise UsageError(f"{where}: no pickle of plain data: {error}") from error
    except _RefusedError as error:
        raise UsageError(
            f"{where}: the pickle {error}; it was not loaded. Get the file from its publisher"
        ) from error
    except Exception as error:  # the unpickler raises whatever a damaged file makes it raise
        raise UsageError(f"{where}: no pickle that can be read ({' '.join(str(error).split())[:200]})") from error


def array_of_npy(data: bytes, where: str) -> npt.NDArray[Any]:
    """As `load_npy`, of the file's bytes."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} of the format is not known")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if any(n < 0 for n in shape):
            raise ValueError(f"the shape {shape} cannot be")
    except Exception as error:  # numpy's reader parses a Python literal, and raises what that raises
        raise UsageError(f"{where}: no .npy file ({' '.join(str(error).split())[:200]})") from error
    body, cells = data[stream.tell() :], math.prod(shape)
    if dtype.hasobject:
        if dtype.kind != "O":
            raise UsageError(f"{where}: rows of mixed objects ({dtype}) are not read")
        flat = unpickled(body, where)
        if not isinstance(flat, np.ndarray) or flat.dtype != dtype or flat.size != cells:
            raise UsageError(f"{where}: holds no array of {cells:,} objects, as its header says")
        return flat.view(np.ndarray).reshape(shape)
    if cells * dtype.itemsize != len(body):
        raise UsageError(f"{where}: {len(body):,} bytes of cells, and its header says {cells * dtype.itemsize:,}")
    if dtype.itemsize == 0:
        raise UsageError(f"{where}: cells of no bytes")
    return np.frombuffer(bytearray(body), dtype).reshape(shape, order="F" if fortran else "C")


def _content(store: Store, path: str) -> bytes:
    try:
        return store.read_bytes(path)
    except OSError as error:
        raise UsageError(f"{store.root}/{path}: cannot be read ({fault_of_file(error)})") from error


class _RefusedError(Exception):
    """The pickle asks for something that is no plain data."""


class _Array(np.ndarray[Any, Any]):
    """An array under construction, which believes its own size only."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        real, cells = _real(dtype), _cells(shape)
        build: Any = super().__setstate__
        if real.kind == "O":
            if not isinstance(raw, list) or len(raw) != cells:
                raise _RefusedError(f"has an array of {cells:,} objects, and does not hold as many")
            build((1, shape, real, bool(fortran), raw))
            return
        held = _bytes(raw)
        if len(held) != cells * real.itemsize:
            raise _RefusedError(f"has an array of {cells * real.itemsize:,} bytes, and holds {len(held):,}")
        build((1, shape, real, bool(fortran), held))


class _DType:
    """The type of an array's cells as the pickle states it, kept apart from numpy's own, which trusts it."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        _, order, subarray, names, fields, *_ = state
        if subarray is not None or names or fields:
            raise _RefusedError("has an array of rows with fields")
        self.order = _text(order)


class _Admitted:
    """A name that a pickle may call, as what we do in its place. Nothing about it can be changed."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _RefusedError("changes a function")

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError("changes a function")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if not isinstance(value, str):
        raise _RefusedError(f"has {type(value).__name__} where text belongs")
    return value


def _bytes(value: Any) -> bytes:
    """Cells as bytes; Python 2 wrote them as text."""
    if isinstance(value, str):
        return value.encode("latin1")
    if not isinstance(value, bytes | bytearray):
        raise _RefusedError(f"has {type(value).__name__} where bytes belong")
    return bytes(value)


def _cells(shape: Any) -> int:
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape) or len(shape) > 32:
        raise _RefusedError("has an array of an impossible shape")
    return math.prod(shape)


def _real(stated: Any) -> np.dtype[Any]:
    if not isinstance(stated, _DType):
        raise _RefusedError("has an array whose cells have no type")
    dtype = np.dtype(stated.code)
    if dtype.kind == "O":
        return np.dtype(object)
    if dtype.kind not in _NUMBERS_AND_TEXT or dtype.itemsize > _ITEM_BYTES or dtype.subdtype is not None:
        raise _RefusedError(f"has an array of {stated.code!r}")
    if stated.order == ">":
        return dtype.newbyteorder(">")
    return dtype.newbyteorder("<") if stated.order == "<" else dtype


def _dtype(code: Any, *_: Any) -> _DType:
    return _DType(_text(code))


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _NDARRAY:
        raise _RefusedError("has an array of another class")
    return np.zeros(0, np.int8).view(_Array)


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    real, held = _real(dtype), _bytes(raw)
    if real.kind == "O" or len(held) != real.itemsize:
        raise _RefusedError("has a number of another size than it states")
    return np.frombuffer(held, real)[0] if held else np.zeros((), real)[()]


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> npt.NDArray[Any]:
    real, held = _real(dtype), _bytes(raw)
    if real.kind == "O" or len(held) != _cells(shape) * real.itemsize:
        raise _RefusedError("has an array of another size than it states")
    return np.frombuffer(bytearray(held), real).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"encodes by {encoding!r}")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise _RefusedError("makes bytes of something else")
    return b""


def _byte_array(*arguments: Any) -> bytearray:
    """Of bytes, or of text and latin-1; a number would set so many bytes aside."""
    return bytearray(_encode(*arguments) if arguments and isinstance(arguments[0], str) else _bytes(*arguments))


def _members(kind: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def make(members: Any = ()) -> Any:
        plain = (str, bytes, int, float, type(None))
        if not isinstance(members, list | tuple) or not all(isinstance(member, plain) for member in members):
            raise _RefusedError("has a set of other things than text and numbers")
        return kind(list(members))

    return make


_NDARRAY = _Admitted(_no_bytes)
_MULTIARRAY = {"_reconstruct": _Admitted(_reconstruct), "scalar": _Admitted(_scalar)}
_BUILTINS = {
    "set": _Admitted(_members(set)),
    "frozenset": _Admitted(_members(frozenset)),
    "bytes": _Admitted(_no_bytes),
    "bytearray": _Admitted(_byte_array),
}
_NAMES: dict[str, dict[str, Any]] = {
    "numpy": {"ndarray": _NDARRAY, "dtype": _Admitted(_dtype)},
    "numpy.core.multiarray": _MULTIARRAY,
    "numpy._core.multiarray": _MULTIARRAY,
    "numpy.core.numeric": {"_frombuffer": _Admitted(_from_buffer)},
    "numpy._core.numeric": {"_frombuffer": _Admitted(_from_buffer)},
    "_codecs": {"encode": _Admitted(_encode)},
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module][name]
        except KeyError:
            raise _RefusedError(f"asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("refers to an object outside itself")
