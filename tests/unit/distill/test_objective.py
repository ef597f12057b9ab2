from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import neuron
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe
from torch import nn

from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, Terms
from snn_deploy.distill.objective import DistillObjective, LabelObjective
from snn_deploy.models.load import build_student, build_teacher

RECIPE = toy_recipe()


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    return build_student(RECIPE, SHAPE, CLASSES), build_teacher(RECIPE, SHAPE, CLASSES)


def setting(student: nn.Module, teacher: nn.Module | None) -> Setting:
    return Setting(student, teacher, SHAPE, CLASSES, RECIPE.timesteps)


def sample(timesteps: int = 3, count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    data = toy_data(timesteps)
    indices = torch.arange(count)
    return data.train.batch(indices), data.train.labels[indices]


class Probe(Method):
    """Shows what a method is handed; its loss is the mean of the student's logits."""

    seen: DistillBatch

    def losses(self, batch: DistillBatch) -> Terms:
        self.seen = batch
        return {"probe": sum((one.logits.mean() for one in batch.passes.values()), torch.zeros(()))}


def probe(objective_passes: tuple[int, ...] = (3,), **wants: object) -> tuple[DistillObjective, Probe]:
    student, teacher = networks()
    method = Probe(setting(student, teacher))
    method.passes = objective_passes
    for name, value in wants.items():
        setattr(method, name, value)
    return DistillObjective(student, teacher, method, RECIPE.timesteps), method


def test_the_teacher_is_frozen_and_does_not_drift() -> None:
    student, teacher = networks()
    teacher.train()
    method = build_method(RECIPE.method, setting(student, teacher))
    objective = DistillObjective(student, teacher, method, RECIPE.timesteps)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    optimizer = torch.optim.SGD([*student.parameters(), *teacher.parameters()], lr=1.0)
    student_before = [p.clone() for p in student.parameters()]
    x, y = sample()
    for _ in range(3):
        objective.network.train()
        objective.helpers.train()
        terms, _ = objective.losses({3: x}, y, torch.Generator())
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    assert not any(module.training for module in teacher.modules())
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not any(
        torch.equal(now, then) for now, then in zip(student.parameters(), student_before, strict=True)
    )


def test_the_teacher_sees_the_mean_over_time() -> None:
    objective, method = probe(teacher_taps=("block1.relu",))
    x, y = sample()
    objective.losses({3: x}, y, torch.Generator())
    _, teacher = networks()
    expected = teacher.eval()(x.sum(0) / 3)
    assert method.seen.teacher_logits is not None
    torch.testing.assert_close(method.seen.teacher_logits, expected)
    assert not method.seen.teacher_logits.requires_grad
    assert method.seen.teacher_feats["block1.relu"].shape == (8, 4, 3, 3)


def test_a_spiking_teacher_is_reset_for_every_batch() -> None:
    student, _ = networks()
    spiking = nn.Sequential(nn.Flatten(), nn.Linear(72, CLASSES), neuron.IFNode(step_mode="s"))
    method = Probe(setting(student, spiking))
    objective = DistillObjective(student, spiking, method, RECIPE.timesteps)
    x, y = sample()
    objective.losses({3: x}, y, torch.Generator())
    first = method.seen.teacher_logits
    objective.losses({3: x}, y, torch.Generator())
    assert first is not None and method.seen.teacher_logits is not None
    assert torch.equal(first, method.seen.teacher_logits)


def test_class_activation_maps_can_be_differentiated_while_parameters_stay_frozen() -> None:
    objective, method = probe(teacher_taps=("block1.relu",), teacher_gradients=True)
    x, y = sample()
    objective.losses({3: x}, y, torch.Generator())
    batch = method.seen
    assert batch.teacher_logits is not None
    scores = batch.teacher_logits.gather(1, y[:, None]).sum()
    (gradient,) = torch.autograd.grad(scores, batch.teacher_feats["block1.relu"])
    _, teacher = networks()
    # Global average pooling then linear: d score_b / d F[b, c, i, j] = w[y_b, c] / (H W).
    expected = teacher.linear.weight[y] / 9
    torch.testing.assert_close(gradient, expected[:, :, None, None].expand_as(gradient))


def test_every_pass_starts_from_zero_state() -> None:
    objective, method = probe()
    objective.network.eval()
    x, y = sample()
    objective.losses({3: x}, y, torch.Generator())
    first = method.seen.student_logits
    objective.losses({3: x}, y, torch.Generator())
    assert torch.equal(first, method.seen.student_logits)
    assert torch.equal(objective.predict(x), objective.predict(x))


def test_a_method_gets_as_many_passes_and_taps_as_it_asks_for() -> None:
    objective, method = probe((3, 6), student_taps=("block1.neuron",))
    assert objective.passes == (3, 6)
    x, y = sample()
    terms, scores = objective.losses({3: x, 6: sample(6)[0]}, y, torch.Generator())
    assert {steps: one.logits.shape[0] for steps, one in method.seen.passes.items()} == {3: 3, 6: 6}
    assert method.seen.passes[6].feats["block1.neuron"].shape == (6, 8, 4, 3, 3)
    assert method.seen.student_feats["block1.neuron"].shape == (3, 8, 4, 3, 3)
    torch.testing.assert_close(scores, method.seen.student_logits.mean(0))
    terms["probe"].backward()


def test_a_single_longer_pass_stands_for_the_ordinary_one() -> None:
    objective, method = probe((6,))
    x, y = sample(6)
    _, scores = objective.losses({6: x}, y, torch.Generator())
    torch.testing.assert_close(scores, method.seen.passes[6].logits.mean(0))


def test_running_statistics_are_those_of_the_pass_that_is_deployed() -> None:
    def norm_after(*passes: int) -> tuple[nn.BatchNorm2d, Probe]:
        objective, method = probe(passes)
        objective.network.train()
        _, y = sample()
        objective.losses({steps: sample(steps)[0] for steps in passes}, y, torch.Generator())
        norm = objective.network.get_submodule("block1.norm")
        assert isinstance(norm, nn.BatchNorm2d)
        return norm, method

    alone, short = norm_after(3)
    for passes in ((3, 6), (6, 3)):
        both, method = norm_after(*passes)
        assert both.running_mean is not None and alone.running_mean is not None
        assert not torch.equal(both.running_mean, torch.zeros(4))
        assert torch.equal(both.running_mean, alone.running_mean)
        assert both.running_var is not None and alone.running_var is not None
        assert torch.equal(both.running_var, alone.running_var)
        assert both.momentum == alone.momentum == 0.1
        assert torch.equal(method.seen.student_logits, short.seen.student_logits)
    # A longer pass that stands for the ordinary one decides the statistics, and every pass is normalised by
    # its own batch.
    longer, long = norm_after(6)
    assert longer.running_mean is not None and alone.running_mean is not None
    assert not torch.equal(longer.running_mean, alone.running_mean)
    assert torch.equal(method.seen.passes[6].logits, long.seen.passes[6].logits)


def test_losses_see_scaled_logits_and_decisions_do_not() -> None:
    objective, method = probe()
    objective.network.eval()
    x, y = sample()
    objective.losses({3: x}, y, torch.Generator())
    assert set(method.seen.student_logits.unique().tolist()) <= {0.0, objective.network.logit_scale}
    torch.testing.assert_close(
        method.seen.student_logits.mean(0), objective.predict(x) * objective.network.logit_scale
    )


def test_label_objective_by_hand() -> None:
    network = nn.Flatten()
    x = torch.zeros(2, 1, 1, 1, 2)
    x[0, 0, 0, 0, 1] = 2.0  # time-mean (0, 1)
    objective = LabelObjective(network, timesteps=2, label_smoothing=0.0)
    terms, scores = objective.losses({2: x}, torch.tensor([1]), torch.Generator())
    assert scores.tolist() == [[0.0, 1.0]]
    assert terms["ce"].item() == pytest.approx(0.3132617)  # ln(1 + 1/e)
