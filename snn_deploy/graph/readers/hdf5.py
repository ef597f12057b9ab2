"""Integers, short texts and groups of a ``.net`` file, read through :mod:`.untrusted`."""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import Problem
from snn_deploy.graph.readers.untrusted import DamageError, UntrustedFile, checked_name

MAX_ELEMENTS = 1 << 28
MAX_MEMBERS = 1024
MAX_TYPE_NAME = 80


class FormatFaultError(Exception):
    """One entry that a format does not allow; collected by the reader, so that all are reported at once."""

    def __init__(
        self, where: str, what: str, rule: str = "", source: str = "", try_instead: str = ""
    ) -> None:
        self.problem = Problem(where, what, rule, source, try_instead)
        super().__init__(what)


class NetFile:
    """Checked access to the groups and datasets of one open ``.net`` file; ``where`` names their group."""

    def __init__(self, access: UntrustedFile) -> None:
        self._access = access

    def group(self, parent: h5py.Group, name: str, where: str) -> h5py.Group:
        """The subgroup ``name``, whose members all lie in this file.

        Raises:
            DamageError: missing, no group, links out of it, or absurdly many members.
        """
        found = self._access.group(parent, name, where)
        if len(found) > MAX_MEMBERS:
            raise DamageError(where, f"'{name}' holds {len(found)} entries", f"at most {MAX_MEMBERS}")
        for member in found:
            if not isinstance(found.get(checked_name(member, where), getlink=True), h5py.HardLink):
                raise DamageError(f"{where}/{member}", "is a link to another place")
        return found

    def integers(self, group: h5py.Group, name: str, where: str) -> npt.NDArray[np.int64]:
        """A dataset of integer values (stored as integers or floats), as int64.

        Raises:
            DamageError: missing, empty, too large, no finite numbers, or kept outside the file.
            FormatFaultError: values that are no integers, or need more than 32 bits.
        """
        dataset = self._access.dataset(group, name, f"{where}/{name}")
        if not dataset.size or dataset.size > MAX_ELEMENTS:
            raise DamageError(where, f"'{name}' has {dataset.size} elements", f"1 to {MAX_ELEMENTS}")
        values = self._access.array(dataset, f"{where}/{name}")
        whole = np.rint(values) if values.dtype.kind == "f" else values
        if values.dtype.kind == "f" and not (whole == values).all():
            raise FormatFaultError(
                where,
                f"'{name}' holds values that are no integers",
                "integers",
                try_instead="round them first",
            )
        if np.abs(whole.astype(np.float64)).max() >= 2**31:
            raise FormatFaultError(where, f"'{name}' exceeds 32 bits", "32-bit integers")
        return whole.astype(np.int64)

    def text(self, group: h5py.Group, name: str, where: str) -> str:
        """One short string, or an array of one.

        Raises:
            DamageError: missing, or something else.
        """
        dataset = self._access.dataset(group, name, f"{where}/{name}")
        if dataset.size != 1 or not h5py.check_string_dtype(dataset.dtype):
            raise DamageError(where, f"'{name}' is not one short string")
        self._access.check_text(dataset, MAX_TYPE_NAME, f"{where}/{name}")
        value = np.asarray(dataset[()]).reshape(-1)[0]
        return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

    def bytes(self, group: h5py.Group, name: str, most: int) -> bytes | None:
        """A dataset of at most ``most`` bytes; None when there is none.

        Raises:
            DamageError: something else.
        """
        if name not in group:
            return None
        dataset = self._access.dataset(group, name, name)
        if dataset.dtype != np.uint8 or dataset.ndim != 1 or not 0 < dataset.size <= most:
            what = f"is {dataset.dtype} of shape {dataset.shape}"
            raise DamageError(name, what, f"1 to {most} bytes")
        return self._access.array(dataset, name).tobytes()
