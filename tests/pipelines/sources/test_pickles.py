from __future__ import annotations

import io
import os
import pickle
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.pickles import array_of_npy, load_npy, load_pickle, unpickled
from schemas.errors import UsageError
from schemas.store import Store

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.just(b"")
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text() | st.integers() | st.binary(), inner, max_size=4),
        st.sets(st.text() | st.integers(), max_size=4),
        st.frozensets(st.text(), max_size=4),
    ),
    max_leaves=12,
)


@given(PLAIN, st.sampled_from(PROTOCOLS))
@settings(max_examples=300, deadline=None)
def test_plain_data_comes_as_it_was_pickled(value: Any, protocol: int) -> None:
    assert unpickled(pickle.dumps(value, protocol), "x") == value


ARRAYS = [
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(3, dtype=">i2"),
    np.array([True, False]),
    np.array(["ab", "é"]),
    np.array([b"ab", b"c"]),
    np.zeros((0, 50), np.int8),
    np.array(7.0),
    np.array(["a", None, {"x": [1]}, ("b",)], object),
    np.float32(3),
    np.int64(-2),
    np.str_("äé"),
    np.bool_(True),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=repr)
def test_arrays_and_scalars_of_numpy_come_as_they_were_pickled(array: Any, protocol: int) -> None:
    found = unpickled(pickle.dumps({"x": array}, protocol), "x")["x"]
    assert np.array_equal(found, array)
    assert found.shape == array.shape
    assert found.dtype.kind == array.dtype.kind


def as_python_2_wrote_it(array: np.ndarray[Any, Any]) -> bytes:
    """A dict {'TRAAAAK128F9318786': array} in protocol 2, as cPickle and an old numpy wrote it: byte strings."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    raw = array.tobytes()
    shape = b"".join(b"K" + bytes([n]) for n in array.shape)
    return (
        b"\x80\x02}q\x01"
        + string(b"TRAAAAK128F9318786")
        + b"q\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05"
        + string(b"b")
        + b"q\x06\x87q\x07Rq\x08(K\x01"
        + (b"(" + shape + b"t")
        + b"q\tcnumpy\ndtype\nq\n"
        + string(b"f8")
        + b"K\x00K\x01\x87Rq\x0b(K\x03"
        + string(b"<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + (b"T" + struct.pack("<I", len(raw)) + raw)
        + b"tbs."
    )


def test_a_pickle_of_python_2_comes_as_latin_1() -> None:
    array = np.array([[1.0], [0.0], [-2.5]])
    (key, found), *rest = unpickled(as_python_2_wrote_it(array), "x").items()
    assert (key, rest) == ("TRAAAAK128F9318786", [])
    assert found.shape == (3, 1)
    assert found[2, 0] == -2.5
    # Protocol 0: text in quotes, one a line.
    assert unpickled(b"(dp1\nS'TRAAAAK128F9318786'\np2\nS'8/9/Beyonc\\xe9.clip.mp3'\np3\ns.", "x") == {
        "TRAAAAK128F9318786": "8/9/Beyoncé.clip.mp3"
    }


class Harm:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


FLAG = "TRACKLORE_HARMED"
CALLS = {
    "posix.system": Harm(os.system, f"touch {FLAG}"),
    "builtins.eval": Harm(eval, "1"),
    "builtins.getattr": Harm(getattr, "a", "upper"),
    "builtins.complex": Harm(complex, 1.0, 2.0),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("hide", [lambda x: x, lambda x: {"a": [x]}, lambda x: np.array([x, 1], object)])
def test_a_name_outside_plain_data_is_refused(
    name: str, protocol: int, hide: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tags.cP"
    path.write_bytes(pickle.dumps(hide(CALLS[name]), protocol))
    shown = name.replace("builtins", "(__builtin__|builtins)").replace(".", r"\.")
    with pytest.raises(UsageError, match=rf"tags\.cP: the pickle asks for {shown}; it was not loaded") as caught:
        load_pickle(Store(str(tmp_path)), "tags.cP")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / FLAG).exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy\nload\n(Vx\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"cnumpy\nndarray\n((I1000000000000\ntIt\n.",
        b"\x80\x02cnumpy\nndarray\nK\x05\x85\x85R.",  # ndarray((5,)): memory as it lies there
        b"\x80\x02cnumpy\nndarray\nK\x05\x85\x81.",
        b"c__main__\n__dict__\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x0c__import__.x\x93.",
        b"\x80\x02cbuiltins\nset\n}X\x05\x00\x00\x00_callNsb.",  # changes what `set` stands for
        b"(ios\nsystem\nS'touch x'\n.",
        b"(S'touch x'\nios\nsystem\n.",
        b"Pother\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
    ],
)
def test_other_ways_to_a_name_are_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"f\.pkl: .*pickle"):
        unpickled(data, "f.pkl")


def claims(shape: bytes, code: bytes, body: bytes, order: bytes = b"<") -> bytes:
    """An array whose pickle says what it likes of itself."""

    def string(text: bytes) -> bytes:
        return b"X" + struct.pack("<I", len(text)) + text

    dtype = b"cnumpy\ndtype\n" + string(code) + b"\x89\x88\x87R(K\x03" + string(order)
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    return b"\x80\x03" + made + b"(K\x01" + shape + dtype + b"\x89" + body + b"tb."


BIG = b"\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85"


def test_the_claims_that_are_true_are_believed() -> None:
    found = unpickled(claims(b"K\x02\x85", b"f4", b"C\x08" + np.array([1, 2], "f4").tobytes()), "x")
    assert found.tolist() == [1, 2]


@pytest.mark.parametrize(
    "data",
    [
        claims(BIG, b"f8", b"C\x08" + bytes(8)),
        claims(BIG, b"O", b"]"),
        claims(b"K\x02\x85", b"O", b"]N" + b"a"),
        claims(b"K\x02\x85", b"O", b"C\x10" + bytes(16)),  # bytes taken for addresses
        claims(b"K\x01\x85", b"V8", b"C\x08" + bytes(8)),
        claims(b"K\x01\x85", b"f4,O", b"C\x0c" + bytes(12)),
        claims(b"J\xff\xff\xff\xff\x85", b"f4", b"C\x00"),
        claims(b"K\x01\x85", b"f4", b"]"),
        b"\x80\x03cbuiltins\nbytearray\n\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85R.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
        b"\x80\x02B" + struct.pack("<I", 0xFFFFFFF0) + b"abc.",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
        b"\x80\x02Nr" + struct.pack("<I", 0xFFFFFFF0) + b".",  # a memo of 32 GB
        b"Np99999999999\n.",
        b"Np" + b"9" * 10_000 + b"\n.",
    ],
)
def test_a_size_that_is_only_stated_sets_nothing_aside(data: bytes) -> None:
    start = time.process_time()
    with pytest.raises(UsageError, match=r"f\.pkl: "):
        unpickled(data, "f.pkl")
    assert time.process_time() - start < 1


def test_nesting_without_end_ends_in_an_error_or_in_data() -> None:
    depth = 500_000
    assert isinstance(unpickled(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".", "f.pkl"), list)
    # Hashing nested tuples would overflow the stack; hashing shared ones would never end.
    deep = b"\x80\x02}K\x01" + b"\x85" * depth + b"Ns."
    shared = (
        b"\x80\x02}K\x01" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(200)) + b"Ns."
    )
    for data in (deep, shared, b"\x80\x04\x8f(K\x01" + b"\x85" * depth + b"\x90."):
        with pytest.raises(UsageError, match=r"f\.pkl: .* has a key that is no text and no number"):
            unpickled(data, "f.pkl")
    loop = unpickled(b"\x80\x02]q\x00h\x00a.", "f.pkl")
    assert loop[0] is loop


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_end_in_data_or_in_an_error(data: bytes) -> None:
    try:
        unpickled(data, "f.pkl")
    except UsageError as error:
        assert str(error).startswith("f.pkl: ")
        assert "\n" not in str(error)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_cut_anywhere_is_refused(protocol: int) -> None:
    whole = pickle.dumps({"TRAAAAK128F9318786": np.arange(3.0), "b": ["8/9/x.mp3", 12, None]}, protocol)
    for end in range(len(whole)):
        with pytest.raises(UsageError, match=r"f\.pkl: no pickle"):
            unpickled(whole[:end], "f.pkl")


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("array", [a for a in ARRAYS if isinstance(a, np.ndarray)], ids=repr)
def test_npy_files_come_as_numpy_wrote_them(array: np.ndarray[Any, Any], tmp_path: Path) -> None:
    (tmp_path / "ids.npy").write_bytes(npy(array))
    found = load_npy(Store(str(tmp_path)), "ids.npy")
    assert np.array_equal(found, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)


def test_npy_files_that_are_something_else_are_refused() -> None:
    whole = npy(np.arange(4.0))
    objects = npy(np.array(["a", "b"], object))
    harmful = npy(np.array([Harm(os.system, "touch x"), 1], object))
    with pytest.raises(UsageError, match=r"f\.npy: the pickle asks for posix\.system"):
        array_of_npy(harmful, "f.npy")
    for data, message in (
        (b"", "no .npy file"),
        (b"\x93NUMPY", "no .npy file"),
        (whole[:-1], "31 bytes of cells, and its header says 32"),
        (whole + b"x", "33 bytes of cells, and its header says 32"),
        (objects.replace(b"(2,)", b"(9,)"), "holds no array of 9 objects"),
        (objects[:-3], "no pickle"),
        (b"PK\x03\x04" + bytes(100), "no .npy file"),
        (b"\x93NUMPY\x09\x00" + whole[8:], "no .npy file"),
    ):
        with pytest.raises(UsageError, match=rf"f\.npy: {message}"):
            array_of_npy(data, "f.npy")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }\n"
    with pytest.raises(UsageError, match="and its header says 8,796,093,022,208"):
        array_of_npy(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8), "f.npy")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.pkl: cannot be read"):
        load_pickle(Store(str(tmp_path)), "none.pkl")
