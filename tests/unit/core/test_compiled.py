from __future__ import annotations

import numpy as np
import pytest

from snn_deploy.core import compiled as module
from snn_deploy.core.compiled import _KeptByKey, _source, compiled


@compiled
def doubled(x, out):
    for i in range(len(x)):
        out[i] = 2 * x[i]


def test_processes_that_compile_at_the_same_time_keep_code_of_their_own(tmp_path):
    """Numba's own index gives both the same number."""
    one, other = _KeptByKey(tmp_path, "loop"), _KeptByKey(tmp_path, "loop")
    assert one.load("a") is None and other.load("b") is None
    one.save("a", {"code": "of a"})
    other.save("b", {"code": "of b"})
    third = _KeptByKey(tmp_path, "loop")
    assert third.load("a") == {"code": "of a"}
    assert third.load("b") == {"code": "of b"}
    third.flush()
    assert third.load("a") == {"code": "of a"}


def test_a_folder_that_takes_nothing_is_no_fault(tmp_path):
    (tmp_path / "file").touch()
    kept = _KeptByKey(tmp_path / "file", "loop")
    kept.save("a", 1)
    assert kept.load("a") is None


@pytest.mark.parametrize("left", [b"", b"not code", bytes(200)])
def test_a_file_that_was_cut_is_made_anew(tmp_path, left):
    kept = _KeptByKey(tmp_path, "loop")
    kept.save("a", {"code": "of a"})
    next(tmp_path.iterdir()).write_bytes(left)
    assert kept.load("a") is None
    kept.save("a", {"code": "of a"})
    assert kept.load("a") == {"code": "of a"}


def test_other_source_beside_a_loop_is_other_code(tmp_path):
    for name, text in (("loop.py", "a = 1\n"), ("lanes.py", "b = 1\n")):
        (tmp_path / name).write_text(text)
    before = _source(tmp_path / "loop.py")
    _source.cache_clear()
    (tmp_path / "lanes.py").write_text("b = 2\n")
    assert _source(tmp_path / "loop.py") != before


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_loops_are_compiled_for_the_types_they_meet(kind):
    x = np.arange(5, dtype=kind)
    out = np.zeros_like(x)
    doubled(x, out)
    assert out.tolist() == [0, 2, 4, 6, 8]


def test_where_nothing_can_be_written_each_process_compiles(monkeypatch):
    def refusing(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(module, "njit", refusing)
    assert compiled(len) is len
