"""Sessions against whole runs of the same network: every output, in every backend, however events are cut."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.stepping import stepping_source
from support.students import IN_SHAPE, spikes_in

from snn_deploy.core.early_exit import ExitRule
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.data.events.recording import Sensor
from snn_deploy.data.options.frames import FrameOptions
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.early_exit import ExitAt
from snn_deploy.tasks.source import Source
from snn_deploy.tasks.stream import Session, open_session

STEPS, SAMPLES = 6, 3
CLASSES = tuple("abcdefghij")
FRAMES = FrameOptions(window=100, binary=True)
BACKENDS = ["reference", "onnxruntime", "c"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Source:
    semantics = Semantics(timesteps=STEPS, classes=CLASSES)
    return stepping_source(tmp_path_factory.mktemp("bundle"), semantics)


def session_of(source: Source, backend: str = "reference", exit_at: ExitAt = None) -> Session:
    if backend == "c" and shutil.which("cc") is None:
        pytest.skip("no C compiler")
    return open_session(source, backend, sensor=IN_SHAPE[1:], frames=FRAMES, exit_at=exit_at)


def recording(seed: int) -> tuple[np.ndarray, ...]:
    """Columns x, y, p, t of SAMPLES x STEPS windows; the first event is at 0."""
    rng = np.random.default_rng(seed)
    count = 60 * SAMPLES * STEPS
    t = np.sort(rng.integers(0, 100 * SAMPLES * STEPS, count))
    t[0] = 0
    return (
        rng.integers(0, IN_SHAPE[2], count),
        rng.integers(0, IN_SHAPE[1], count),
        rng.integers(0, 2, count),
        t,
    )


def frames_of(columns: tuple[np.ndarray, ...]) -> np.ndarray:
    """The frames of a recording, ``[SAMPLES x STEPS, *shape]``."""
    x, y, p, t = columns
    frames = np.zeros((SAMPLES * STEPS, *IN_SHAPE), np.float32)
    frames[t // 100, p, y, x] = 1
    return frames


def runs_of(source: Source, backend: str) -> Executable:
    """What runs the samples of ``backend`` whole."""
    return Loihi(source.path / "model.net") if backend == "c" else Reference(source.plan)


def whole(source: Source, columns: tuple[np.ndarray, ...], backend: str) -> torch.Tensor:
    """Outputs ``[T, SAMPLES, K]`` of the recording's frames, all at once."""
    batch = torch.from_numpy(frames_of(columns)).view(SAMPLES, STEPS, *IN_SHAPE).swapaxes(0, 1).contiguous()
    return runs_of(source, backend).run(batch).output


@pytest.mark.parametrize("backend", BACKENDS)
def test_decisions_are_those_of_whole_samples(source, backend):
    columns = recording(1)
    expected = whole(source, columns, backend)
    session = session_of(source, backend)
    results = [*session.push(*columns), *session.finish()]
    assert [(r.sample, r.step, r.final) for r in results] == [
        (s, t, t == STEPS - 1) for s in range(SAMPLES) for t in range(STEPS)
    ]
    found = np.stack([r.output for r in results]).reshape(SAMPLES, STEPS, -1).swapaxes(0, 1)
    assert np.array_equal(found, expected.flatten(2).numpy())
    scores = expected.mean(0).flatten(1)
    final = [r for r in results if r.final]
    assert [r.decision for r in final] == scores.argmax(1).tolist()
    assert [r.label for r in final] == [CLASSES[k] for k in scores.argmax(1)]
    assert np.allclose(np.stack([r.scores for r in final]), scores.numpy())
    assert bool(expected.any())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), places=st.lists(st.integers(0, 60 * SAMPLES * STEPS), max_size=7))
def test_any_cut_gives_the_same(source, seed, places):
    columns = recording(seed)
    expected = whole(source, columns, "reference").flatten(2).numpy()
    session = session_of(source)
    results = []
    bounds = sorted(places)
    for begin, end in zip([0, *bounds], [*bounds, len(columns[0])], strict=True):
        results += session.push(*(column[begin:end] for column in columns))
    results += session.finish()
    found = np.stack([r.output for r in results]).reshape(SAMPLES, STEPS, -1).swapaxes(0, 1)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_session_goes_on_where_a_killed_one_was_saved(source, backend, tmp_path):
    columns = recording(2)
    session = session_of(source, backend)
    uninterrupted = [*session.push(*columns), *session.finish()]
    first, state = session_of(source, backend), tmp_path / "state.npz"
    results = first.push(*(column[:500] for column in columns))
    first.save(state)
    first.push(*(column[500:700] for column in columns))  # what a killed process did after it was saved
    second = session_of(source, backend)
    second.restore(state)
    assert second.events == 500
    results += [*second.push(*(column[500:] for column in columns)), *second.finish()]
    assert [(r.sample, r.step) for r in results] == [(r.sample, r.step) for r in uninterrupted]
    for a, b in zip(results, uninterrupted, strict=True):
        assert np.array_equal(a.output, b.output)
        assert np.array_equal(a.scores, b.scores)


def test_frames_instead_of_events(source):
    x = spikes_in()
    expected = Reference(source.plan).run(x[:, :1]).output
    session = session_of(source)
    results = session.push_frames(x[:, 0].numpy())
    assert np.array_equal(np.stack([r.output for r in results]), expected[:, 0].numpy())
    with pytest.raises(DataError, match="Frames of shape"):
        session.push_frames(np.zeros((1, 3)))
    with pytest.raises(DataError, match="not finite"):
        session.push_frames(np.full((1, *IN_SHAPE), np.nan))


def stopped_early(session: Session) -> list[tuple[int, int, bool]]:
    """Sample, step and whether it is final, of frames without a pause."""
    frames = spikes_in()[:, 0].numpy()
    results = [r for _ in range(SAMPLES) for r in session.push_frames(frames)]
    return [(r.sample, r.step, r.final) for r in results]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sample_ends_with_the_first_sure_step(source, backend):
    """Against whole runs of what is left of the frames: after an exit the network starts anew."""
    sure, frames = session_of(source, backend, exit_at=0.145), frames_of(recording(4))
    found = [(r.step, r.final, r.decision) for r in sure.push_frames(frames)]
    runs, begin, expected = runs_of(source, backend), 0, []
    while begin < len(frames):
        part = torch.from_numpy(frames[begin : begin + STEPS])[:, None]
        outputs = runs.run(part).output[:, 0].flatten(1).double()
        for step in range(len(part)):
            scores = outputs[: step + 1].sum(0) / STEPS
            final = step == STEPS - 1 or float(scores.softmax(0).max()) >= 0.145
            expected.append((step, final, int(scores.argmax())))
            if final:
                break
        begin += step + 1
    assert found == expected
    ends = [step for step, final, _ in found if final]
    assert min(ends) < STEPS - 1 and max(ends) == STEPS - 1


def test_a_confidence_that_is_never_reached_changes_nothing(source):
    plain = stopped_early(session_of(source))
    assert stopped_early(session_of(source, exit_at=1.0)) == plain
    assert stopped_early(session_of(source, exit_at="off")) == plain
    every = stopped_early(session_of(source, exit_at=0.05))
    assert every == [(number, 0, True) for number in range(SAMPLES * STEPS)]


def test_the_threshold_of_the_bundle_is_used_unless_another_is_given(source):
    stated = {"at": 0.05, "scale": 8.0, "chosen": "given"}
    bundle = replace(source, manifest={**source.manifest, "exit": stated})
    assert open_session(bundle, frames=FRAMES).rule == ExitRule(0.05, 8.0)
    assert open_session(bundle, frames=FRAMES, exit_at=0.7).rule == ExitRule(0.7, 8.0)
    assert open_session(bundle, frames=FRAMES, exit_at="off").rule is None
    assert open_session(source, frames=FRAMES).rule is None
    with pytest.raises(ConfigError, match="cannot be reached"):
        open_session(source, frames=FRAMES, exit_at=1.5)


def test_reset_begins_the_next_sample(source):
    session = session_of(source)
    frames = spikes_in()[:, 0].numpy()
    session.push_frames(frames[:2])
    session.reset()
    session.reset()
    results = session.push_frames(frames)
    assert [(r.sample, r.step) for r in results] == [(1, t) for t in range(len(frames))]
    assert np.array_equal(
        np.stack([r.output for r in results]),
        np.stack([r.output for r in session_of(source).push_frames(frames)]),
    )


def test_events_outside_of_the_sensor_are_refused_and_change_nothing(source):
    session = session_of(source)
    with pytest.raises(DataError, match="damaged"):
        session.push([0], [10_000], [0], [0])
    with pytest.raises(DataError, match="damaged"):
        session.push([0.5], [0], [0], [0])
    assert session.events == 0


def test_what_cannot_be_streamed_is_said(source):
    with pytest.raises(ConfigError, match="cannot take one frame"):
        open_session(source, "lava", frames=FRAMES)
    with pytest.raises(ConfigError, match="length of their own"):
        open_session(source, frames=FrameOptions())
    with pytest.raises(ConfigError, match="--sensor"):
        open_session(source, frames=FrameOptions(window=10, resize=(4, 4)))
    with pytest.raises(ConfigError, match="have the shape"):
        open_session(source, frames=FRAMES, sensor=(50, 50))
    bare = Source("net", "nir", source.path, source.plan, source.executable)
    with pytest.raises(ConfigError, match="holds no onnx file"):
        open_session(bare, "onnxruntime", frames=FRAMES)


@pytest.mark.parametrize("damage", ["missing", "text", "other", "cut"])
def test_damaged_states_are_named(source, damage, tmp_path):
    session, state = session_of(source), tmp_path / "state.npz"
    session.push(*(column[:100] for column in recording(3)))
    session.save(state)
    if damage == "missing":
        state.unlink()
    elif damage == "text":
        state.write_text("hello")
    elif damage == "cut":
        state.write_bytes(state.read_bytes()[:-200])
    else:
        np.savez(state, head=np.frombuffer(b'{"version": 1, "sample": 0, "step": 0, "events": 0}', np.uint8))
    with pytest.raises(DataError):
        session.restore(state)


def test_sensor_follows_from_the_network(source):
    assert open_session(source, frames=FrameOptions(window=5))._need_clock().sensor == Sensor(
        2, *IN_SHAPE[1:]
    )


def test_file_of_a_c_program_is_not_left_behind(source, tmp_path):
    session = session_of(source, "c")
    process = session._stepper._process
    del session
    assert process.wait(5) is not None
    assert Path(process.args[0]).parent.exists() is False
