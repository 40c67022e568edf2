"""Looks a pickle through, instruction by instruction, before it is loaded, without building anything.

Python's unpickler trusts sizes and places that a file states: it sets aside what they ask for, and hashes what it
is told to. Here a file may ask for no more than it holds, and only text, bytes and numbers may be keys. Protocols 0
to 5.
"""

from __future__ import annotations

import pickletools

_LINE = -1
_TWO_LINES = -2
_REFUSED = -9
# What follows an opcode: so many bytes, a line, or a length of 1, 4 or 8 bytes (-3, -4, -5) and so many bytes.
_ARGUMENTS = [_REFUSED] * 256
_LENGTH_BYTES = {-3: 1, -4: 4, -5: 8}
_OPCODES = {code.name: ord(code.code) for code in pickletools.opcodes}
_BY_ARGUMENT = {
    0: "MARK STOP POP POP_MARK DUP NONE NEWTRUE NEWFALSE EMPTY_DICT EMPTY_LIST EMPTY_TUPLE EMPTY_SET APPEND "
    "APPENDS BUILD DICT LIST TUPLE TUPLE1 TUPLE2 TUPLE3 SETITEM SETITEMS ADDITEMS FROZENSET REDUCE MEMOIZE "
    "STACK_GLOBAL",
    1: "BININT1 BINGET BINPUT PROTO",
    2: "BININT2",
    4: "BININT LONG_BINGET LONG_BINPUT",
    8: "BINFLOAT FRAME",
    _LINE: "INT LONG FLOAT STRING UNICODE GET PUT",
    _TWO_LINES: "GLOBAL",
    -3: "SHORT_BINSTRING SHORT_BINBYTES SHORT_BINUNICODE LONG1",
    -4: "BINSTRING BINBYTES BINUNICODE LONG4",
    -5: "BINBYTES8 BINUNICODE8 BYTEARRAY8",
}
for _kind, _names in _BY_ARGUMENT.items():
    for _name in _names.split():
        _ARGUMENTS[_OPCODES[_name]] = _kind

_PUSHING = (
    "NONE NEWTRUE NEWFALSE EMPTY_DICT EMPTY_LIST EMPTY_SET BININT1 BININT2 BININT BINFLOAT INT LONG FLOAT STRING "
    "UNICODE GLOBAL SHORT_BINSTRING SHORT_BINBYTES SHORT_BINUNICODE LONG1 BINSTRING BINBYTES BINUNICODE LONG4 "
    "BINBYTES8 BINUNICODE8 BYTEARRAY8"
)
_PUSHES = frozenset(_OPCODES[name] for name in _PUSHING.split())
_PLAIN, _TUPLE = False, True


class ScanError(ValueError):
    """The pickle is damaged, or asks for what it may not; the message says at which byte."""


def scan(data: bytes) -> None:
    """Check that a pickle is whole and modest.

    Raises:
        ScanError: it is cut short, refers to what is not there, states a size or a place beyond its own length,
            has a tuple as key, or holds an instruction for objects other than plain data.
    """
    place = 0
    try:
        place = _scan(data)
    except (IndexError, KeyError, ValueError) as error:
        if isinstance(error, ScanError):
            raise
        raise ScanError("is cut short or damaged") from error
    if place > len(data):
        raise ScanError("is cut short")


def _scan(data: bytes) -> int:
    """The stack is known by one thing: which of its values are tuples (or hold some), which are costly to hash."""
    op = _OPCODES
    put, binput, long_binput, memoize = (op[n] for n in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
    get, binget, long_binget = (op[n] for n in ("GET", "BINGET", "LONG_BINGET"))
    mark, stop, setitem, setitems, append, appends = (
        op[n] for n in ("MARK", "STOP", "SETITEM", "SETITEMS", "APPEND", "APPENDS")
    )
    arguments, pushes, limit = _ARGUMENTS, _PUSHES, len(data)
    stack: list[bool] = []
    marks: list[int] = []
    memo: dict[int, bool] = {}
    place = 0
    while True:
        start, code = place, data[place]
        size = arguments[code]
        place += 1
        if size > 0:
            place += size
        elif size < 0:
            place = _after(data, place, size)
        if place > limit:
            raise ScanError(f"is cut short (at byte {start:,})")
        if code in pushes:
            stack.append(_PLAIN)
        elif code == binput:
            memo[data[start + 1]] = stack[-1]
        elif code == binget:
            stack.append(memo[data[start + 1]])
        elif code in (long_binput, put, memoize):
            index = len(memo) if code == memoize else _index(data, start, place, code == put)
            if index > limit:
                raise ScanError(f"refers to place {index:,}, and has {limit:,} bytes (at byte {start:,})")
            memo[index] = stack[-1]
        elif code in (long_binget, get):
            stack.append(memo[_index(data, start, place, code == get)])
        elif code == mark:
            marks.append(len(stack))
        elif code == setitem:
            _plain_keys(stack[-2:-1], start)
            del stack[-2:]
        elif code == setitems:
            bottom = marks.pop()
            _plain_keys(stack[bottom::2], start)
            del stack[bottom:]
        elif code == append:
            stack.pop()
        elif code == appends:
            del stack[marks.pop() :]
        elif code == stop:
            return place
        else:
            _rare(code, stack, marks, start)


def _rare(code: int, stack: list[bool], marks: list[int], start: int) -> None:
    name = _NAMES[code]
    if name in ("TUPLE", "FROZENSET", "LIST", "DICT", "ADDITEMS", "POP_MARK"):
        bottom = marks.pop()
        values = stack[bottom:]
        del stack[bottom:]
        if name == "DICT":
            _plain_keys(values[::2], start)
        if name in ("FROZENSET", "ADDITEMS"):
            _plain_keys(values, start)
        if name not in ("ADDITEMS", "POP_MARK"):
            stack.append(name in ("TUPLE", "FROZENSET"))
    elif name == "EMPTY_TUPLE":
        stack.append(_TUPLE)
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        if len(stack) < count:
            raise ScanError(f"takes what is not there (at byte {start:,})")
        stack[-count:] = [_TUPLE]
    elif name in ("REDUCE", "STACK_GLOBAL"):
        del stack[-2:]
        stack.append(_PLAIN)
    elif name in ("BUILD", "POP"):
        # On an empty stretch of the stack, POP takes the mark.
        if name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        else:
            stack.pop()
    elif name == "DUP":
        stack.append(stack[-1])
    elif name not in ("PROTO", "FRAME"):
        raise ScanError(f"holds an instruction that plain data does not need ({name}, at byte {start:,})")


_NAMES = {code: name for name, code in _OPCODES.items()}
_NAMES.update({code: f"unknown {code:#04x}" for code in range(256) if code not in _NAMES})


def _after(data: bytes, place: int, kind: int) -> int:
    """Where the argument that starts at `place` ends."""
    if kind == _REFUSED:
        raise ScanError(
            f"holds an instruction that plain data does not need ({_NAMES[data[place - 1]]}, at byte {place - 1:,})"
        )
    if kind == _LINE:
        return data.index(b"\n", place) + 1
    if kind == _TWO_LINES:
        return data.index(b"\n", data.index(b"\n", place) + 1) + 1
    width = _LENGTH_BYTES[kind]
    return place + width + int.from_bytes(data[place : place + width], "little")


def _index(data: bytes, start: int, end: int, text: bool) -> int:
    argument = data[start + 1 : end]
    if text and len(argument) > 20:
        raise ScanError(f"refers to a place that cannot be (at byte {start:,})")
    return int(argument) if text else int.from_bytes(argument, "little")


def _plain_keys(keys: list[bool], start: int) -> None:
    if any(keys):
        raise ScanError(f"has a key that is no text and no number (at byte {start:,})")
