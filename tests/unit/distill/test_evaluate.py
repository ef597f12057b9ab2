from __future__ import annotations

import torch
from spikingjelly.activation_based import functional
from support.splits import Expecting
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe
from torch import nn

from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.distill.evaluate import Scores, evaluate
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.models.load import build_student
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions

CPU = torch.device("cpu")


def predictor(network: nn.Module):
    def predict(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(network)
        return network(x).mean(0)

    return predict


def test_accuracy_and_rates_by_hand() -> None:
    # Four samples, T = 2, two IF neurons with threshold 1 fed directly.
    inputs = torch.tensor([[[1, 0], [1, 0]], [[0, 1], [0, 1]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]])
    frames = inputs.reshape(4, 2, 1, 1, 2).to(torch.uint8)
    split = ArraySplit(frames, torch.arange(4), torch.tensor([0, 0, 1, 0]))
    network = nn.Sequential(nn.Flatten(2), make_neuron(NeuronOptions(kind="if")))
    scores = evaluate(network, predictor(network), split, device=CPU, batch_size=3)
    # 2 + 2 + 1 + 0 spikes in 4 samples x 2 steps x 2 neurons; the silent sample ties and counts as class 0.
    assert scores == Scores(correct=3, samples=4, rates={"1": 5 / 16}, rate=5 / 16, sops=0.0)
    assert scores.accuracy == 0.75


def test_it_agrees_with_the_recorded_student_whatever_the_batch() -> None:
    data = toy_data()
    student = build_student(toy_recipe(), SHAPE, CLASSES)
    trace = StudentExecutable(student).run(data.test.batch(torch.arange(12)), record=True)
    rates = {name: float(spikes.mean(dtype=torch.float64)) for name, spikes in trace.records.items()}
    correct = int((trace.output.mean(0).argmax(1) == data.test.labels).sum())
    for batch_size in (1, 5, 12):
        scores = evaluate(student, predictor(student), data.test, device=CPU, batch_size=batch_size)
        assert (scores.correct, scores.samples, scores.rates) == (correct, 12, rates)


def test_cudnn_is_on_without_shortened_floats_and_restored() -> None:
    flags = []

    def predict(x: torch.Tensor) -> torch.Tensor:
        flags.append((torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32))
        return torch.zeros(x.shape[1], CLASSES)

    before = (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32)
    evaluate(nn.Module(), predict, toy_data().test, device=CPU, batch_size=12)
    assert flags == [(True, False)]
    assert (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32) == before


def test_the_network_is_judged_in_eval_mode_and_left_as_it_was() -> None:
    student = build_student(toy_recipe(), SHAPE, CLASSES).train()
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    evaluate(student, predictor(student), toy_data().test, device=CPU, batch_size=4)
    assert student.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())


def test_the_batch_after_the_current_one_is_expected() -> None:
    split = Expecting(toy_data().train)
    network = nn.Sequential(nn.Flatten(), nn.Linear(72, CLASSES))
    evaluate(network, lambda x: network(x.mean(0)), split, device=CPU, batch_size=16)
    assert split.ahead == [16, 8, 0]
