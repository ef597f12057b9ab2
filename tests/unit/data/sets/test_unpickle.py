from __future__ import annotations

import hashlib
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.images import CIFAR10_NAMES, Python2Pickle, cifar10_meta, words

from snn_deploy.core.errors import DataError
from snn_deploy.data.sets import unpickle
from snn_deploy.data.sets.unpickle import load_pickle, read_limited

FINE = words("""
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
""")
COARSE = words("""
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
household_furniture insects large_carnivores large_man-made_outdoor_things
large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals non-insect_invertebrates
people reptiles small_mammals trees vehicles_1 vehicles_2
""")


def md5(data):
    return hashlib.md5(data).hexdigest()


def test_our_writer_makes_the_published_files_bit_for_bit():
    # So the small files of other tests are of the public layout: these checksums are published.
    assert md5(cifar10_meta()) == "5ff9c542aee3614f3951f8cda6e48888"
    meta100 = Python2Pickle().dump({"fine_label_names": FINE, "coarse_label_names": COARSE})
    assert md5(meta100) == "7973b15100ade9c7d40fb424638fde48"
    assert load_pickle(meta100, "meta")["fine_label_names"] == [name.encode() for name in FINE]
    assert load_pickle(cifar10_meta(), "meta") == {
        "num_cases_per_batch": 10000,
        "label_names": [name.encode() for name in CIFAR10_NAMES],
        "num_vis": 3072,
    }


def test_python_2_batch_reads_as_pickle_reads_it():
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 1500).tolist()
    names = [f"{n}.png" for n in range(1500)]
    data = random.integers(0, 256, (1500, 3072), dtype=np.uint8)
    file = Python2Pickle().dump({"labels": labels, "data": data, "filenames": names})
    expected = {k.decode(): v for k, v in pickle.loads(file, encoding="bytes").items()}
    content = load_pickle(file, "data_batch_1")
    np.testing.assert_array_equal(expected["data"], data)
    np.testing.assert_array_equal(content["data"], data)
    assert content["labels"] == expected["labels"] == labels
    assert content["filenames"] == expected["filenames"] == [name.encode() for name in names]
    assert not content["data"].flags.writeable


NUMBERS = st.sampled_from(["u1", "i1", "<i2", ">i4", "<i8", "<f4", ">f8", "?", "<u2", "f2"])


@settings(deadline=None)
@given(
    hnp.arrays(NUMBERS.map(np.dtype), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
    st.booleans(),
    st.sampled_from([3, 4]),
)
def test_arrays_of_numbers_come_back(array, fortran, protocol):
    array = np.asarray(array, order="F" if fortran else "C")
    content = load_pickle(pickle.dumps({"a": array, b"b": [array.ndim, None, True]}, protocol), "file")
    assert content["a"].dtype == array.dtype
    assert content["a"].shape == array.shape
    assert content["a"].tobytes() == array.tobytes()
    assert content["b"] == [array.ndim, None, True]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), PLAIN), st.sampled_from([3, 4]))
def test_plain_values_come_back(content, protocol):
    assert load_pickle(pickle.dumps(content, protocol), "file") == content


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(5))
def test_calls_are_named_and_not_made(tmp_path, protocol):
    target = tmp_path / "made"
    file = pickle.dumps({"data": Call(os.mkdir, str(target))}, protocol)
    with pytest.raises(DataError) as caught:
        load_pickle(file, "data_batch_1")
    assert not target.exists()
    assert "'data_batch_1' is not a pickle of plain values" in caught.value.message
    if protocol > 1:
        assert f"it refers to '{os.mkdir.__module__}.mkdir'" in caught.value.message
    pickle.loads(file)
    assert target.exists(), "the file was harmless"


def test_instance_is_named():
    with pytest.raises(DataError, match=r"it makes an instance of 'posix\.mkdir'"):
        load_pickle(b"\x80\x02}(U\x01x(U\x01yiposix\nmkdir\nu.", "file")


REFUSED = {
    "objects": ({"a": np.array([1, "x", None], object)}, "arrays of type 'O8'"),
    "records": ({"a": np.zeros(2, [("x", "u1")])}, "arrays of type 'V1'"),
    "text": ({"a": np.array(["x"])}, "arrays of type 'U1'"),
    "complex": ({"a": np.zeros(1, complex)}, "arrays of type 'c16'"),
    "times": ({"a": np.zeros(1, "M8[s]")}, "arrays of type 'M8'"),
    "a number of numpy": ({"a": np.float32(1)}, "_core.multiarray.scalar'"),
    "a type": ({"a": int}, "it refers to 'builtins.int'"),
    "a set": ({"a": {1}}, r"opcode b'\x8f' at byte"),
    "no dictionary": ([1], "it holds no dictionary"),
    "numbered keys": ({1: 2}, "damaged"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused(case):
    value, reason = REFUSED[case]
    with pytest.raises(DataError) as caught:
        load_pickle(pickle.dumps(value, 4), "file")
    assert reason in caught.value.message


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY = b"cnumpy\nndarray\n"
DTYPE = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
EMPTY = RECONSTRUCT + NDARRAY + b"K\x00\x85U\x01b\x87R"
HUGE = b"\x8a\x08" + struct.pack("<q", 1 << 40)


def in_dict(value):
    return b"\x80\x02}U\x01a" + value + b"s."


HOSTILE = {
    "an array made huge before it is filled": RECONSTRUCT + NDARRAY + HUGE + b"\x85U\x01b\x87R",
    "an array type called": NDARRAY + HUGE + b"\x85\x85R",
    "an instance of the array type": NDARRAY + HUGE + b"\x85\x85\x81",
    "a size that overflows": EMPTY + b"(K\x01" + HUGE + HUGE + b"\x86" + DTYPE + b"\x89U\x00tb",
    "a negative size": EMPTY + b"(K\x01J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86" + DTYPE + b"\x89U\x01xtb",
    "too few bytes": EMPTY + b"(K\x01K\x05\x85" + DTYPE + b"\x89U\x04abcdtb",
    "too many bytes": EMPTY + b"(K\x01K\x03\x85" + DTYPE + b"\x89U\x04abcdtb",
    "a shape that is no tuple": EMPTY + b"(K\x01K\x04" + DTYPE + b"\x89U\x04abcdtb",
    "an aligned data type": b"cnumpy\ndtype\nU\x02u1K\x01K\x01\x87R",
    "a data type with fields": DTYPE + b"(K\x03U\x01|N(U\x01xt}J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
    "a data type with a size of its own": DTYPE + b"(K\x03U\x01|NNNK\x40K\x01K\x00tb",
    "a state for a list": b"](K\x01tb",
    "an array for a state": EMPTY + EMPTY + b"b",
    "a persistent object": b"Pname\n",
    "an extension": b"\x82\x01",
    "a memo entry that is not there": b"h\x07",
    "a call without arguments": RECONSTRUCT + b"R",
    "an unbalanced mark": b"t",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_array_is_refused(case):
    with pytest.raises(DataError, match="'file' is not a pickle"):
        load_pickle(in_dict(HOSTILE[case]), "file")


def test_wrong_amount_of_content_is_said():
    with pytest.raises(DataError, match=r"an array of shape \(5,\) with 4 bytes"):
        load_pickle(in_dict(HOSTILE["too few bytes"]), "file")


def test_the_honest_form_of_the_hostile_ones_is_read():
    honest = EMPTY + b"(K\x01K\x04\x85" + DTYPE + b"\x89U\x04abcdtb"
    assert load_pickle(in_dict(honest), "file")["a"].tobytes() == b"abcd"


def test_an_array_that_was_never_filled_has_no_content():
    assert load_pickle(in_dict(EMPTY), "file") == {"a": None}


def test_memo_indices_cost_nothing():
    # Python's own unpickler sizes a table by the largest index it meets.
    assert load_pickle(b"\x80\x02}r\xff\xff\xff\x7f.", "file") == {}


def test_a_list_in_itself_ends():
    content = load_pickle(b"\x80\x02}q\x01U\x01a]q\x02h\x02as.", "file")
    assert content["a"][0] is content["a"]


def test_bytes_after_the_end_are_refused():
    with pytest.raises(DataError, match="3 bytes follow its end"):
        load_pickle(pickle.dumps({}, 4) + b"abc", "file")


def test_number_of_opcodes_is_limited(monkeypatch):
    file = pickle.dumps({"a": list(range(100))}, 4)
    load_pickle(file, "file")
    monkeypatch.setattr(unpickle, "MAX_OPCODES", 50)
    with pytest.raises(DataError, match="more than 50 opcodes"):
        load_pickle(file, "file")


VALID = Python2Pickle().dump({"labels": [1, 2, 300], "data": np.arange(6, dtype=np.uint8).reshape(2, 3)})


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=3), st.integers(0, 40)
)
def test_damage_is_an_error_or_a_dictionary(changes, cut):
    damaged = bytearray(VALID)
    for place, value in changes:
        damaged[place] = value
    try:
        content = load_pickle(bytes(damaged[: len(damaged) - cut]), "file")
    except DataError:
        return
    assert isinstance(content, dict)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_noise_is_an_error(noise):
    with pytest.raises(DataError):
        load_pickle(noise, "file")


def test_read_limited(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    assert read_limited(file, 5) == b"12345"
    with pytest.raises(DataError, match="has more than 4 bytes"):
        read_limited(file, 4)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_limited(tmp_path / "b", 4)
