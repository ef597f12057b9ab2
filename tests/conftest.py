"""Every test runs on one thread, from a fixed seed, and with a cache of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
_CACHE = tempfile.mkdtemp(prefix="snn-deploy-tests-")
os.environ["SNN_DEPLOY_CACHE"] = _CACHE
os.environ.pop("COLUMNS", None)  # which processes of pytest-xdist set, and tables would keep to
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("no deadline", deadline=None)  # a loaded machine breaks no property
hypothesis.settings.load_profile("no deadline")
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background start with SIGINT ignored


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
