"""Recomputed and compiled layers: the same numbers, less memory, no new names."""

import copy
import logging
import pickle

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmpt.errors import ConfigError
from mmpt.models import build_model, execution

from .conftest import WRAPPERS
from .test_joint import training_without_dropout
from .test_wrappers import close, sample_of, scalar

BOTH_KEYS = {"checkpoint_activations": True, "compile": True}


def cast(sample, dtype):
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in sample.items()}


def one_step(model, sample, of=None):
    """Loss, gradients and a draw after them, from one seed."""
    model.zero_grad()
    torch.manual_seed(3)
    loss = scalar(model(**sample))
    loss.backward()
    named = (of or model).named_parameters()
    gradients = {name: p.grad.clone() for name, p in named if p.grad is not None}
    return loss.detach(), gradients, torch.rand(1)


def assert_same_bits(got, wanted):
    assert torch.equal(got[0], wanted[0]) and torch.equal(got[2], wanted[2])
    assert list(got[1]) == list(wanted[1])
    for name, gradient in wanted[1].items():
        assert torch.equal(got[1][name], gradient), name


def layer_calls(model):
    """A list that grows with every run of a layer, the recomputed ones included."""
    calls = []
    for layer in execution.layers_of(model):
        layer.intermediate.register_forward_hook(lambda *_: calls.append(1))
    return calls


def kept_bytes(model, sample):
    """Bytes of all memory, parameters apart, that the backward pass of a batch waits for."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**sample)
    return sum(storage.nbytes() for storage in kept.values())


# ----------------------------------------------------------------------------- recomputing


@pytest.mark.parametrize("name", WRAPPERS)
def test_recomputing_changes_no_bit(name, wrapper, others):
    sample = sample_of(name, others)
    plain, saving = wrapper(name), wrapper(name, checkpoint_activations=True)
    once, calls = layer_calls(plain), layer_calls(saving)
    wanted = one_step(plain.train(), sample)
    assert_same_bits(one_step(saving.train(), sample), wanted)
    assert once and len(calls) == 2 * len(once)
    assert not torch.equal(one_step(plain.eval(), sample)[0], wanted[0])  # dropout did something


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layernorm_only", [False, True])
@pytest.mark.parametrize(("name", "iso"), [("MMFusionSeparate", None), ("MMFusionJoint", 2)])
def test_recomputing_in_every_precision(name, iso, layernorm_only, dtype, wrapper, others):
    sample = cast(sample_of(name, others), dtype)
    settings = {"layernorm_only": layernorm_only}
    plain = wrapper(name, iso, **settings).train().to(dtype)
    saving = wrapper(name, iso, checkpoint_activations=True, **settings).train().to(dtype)
    wanted = one_step(plain, sample)
    assert len(wanted[1]) > 10 and wanted[0].isfinite()
    assert_same_bits(one_step(saving, sample), wanted)


@pytest.mark.parametrize("layernorm_only", [False, True])
def test_recomputing_keeps_less(layernorm_only, wrapper, others):
    sample = sample_of("MMFusionSeparate", others)
    settings = {"layernorm_only": layernorm_only}
    plain = kept_bytes(wrapper("MMFusionSeparate", **settings).train(), sample)
    saving = wrapper("MMFusionSeparate", checkpoint_activations=True, **settings)
    assert kept_bytes(saving.train(), sample) < plain / 3
    assert kept_bytes(saving.eval(), sample) > plain / 2  # nothing is recomputed in evaluation


def test_evaluation_runs_each_layer_once(wrapper, others):
    model = wrapper("MMFusionSeparate", checkpoint_activations=True)
    calls = layer_calls(model)
    one_step(model.eval(), sample_of("MMFusionSeparate", others))
    assert len(calls) == len(execution.layers_of(model)) == 6


@pytest.mark.parametrize("layernorm_only", [False, True])
def test_recomputing_below_distributed_data_parallel(layernorm_only, wrapper, others, tmp_path):
    sample, settings = sample_of("MMFusionSeparate", others), {"layernorm_only": layernorm_only}
    plain = wrapper("MMFusionSeparate", **settings).train()
    saving = wrapper("MMFusionSeparate", checkpoint_activations=True, **settings).train()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(saving, find_unused_parameters=True)
        for _ in range(2):
            got = one_step(wrapped, sample, of=saving)
    finally:
        dist.destroy_process_group()
    wanted = one_step(plain, sample)
    reduced = {n: g for n, g in got[1].items() if n in wanted[1]}  # DDP gives the unused ones zeros
    assert_same_bits((got[0], reduced, got[2]), wanted)
    assert not any(got[1][name].any() for name in got[1].keys() - wanted[1].keys())


# -------------------------------------------------------------------------------- compiling


@pytest.fixture
def dynamo():
    """Graphs of other tests do not help, and graphs do not stay."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def no_check(monkeypatch):
    monkeypatch.setattr(execution, "require_compiler", lambda: None)


def test_names_and_checkpoints_stay(config_of, no_check, fresh):
    model = build_model(config_of(**BOTH_KEYS))
    assert list(model.state_dict()) == list(fresh.state_dict())
    assert [n for n, _ in model.named_modules()] == [n for n, _ in fresh.named_modules()]
    model.load_state_dict(fresh.state_dict())
    fresh.load_state_dict(model.state_dict())
    layers = execution.layers_of(model)
    assert len(layers) == 6
    assert all(layer._compiled_call_impl and layer.gradient_checkpointing for layer in layers)
    assert not any(layer._compiled_call_impl for layer in execution.layers_of(fresh))


def test_copies_and_pickles(config_of, no_check, inputs):
    model = build_model(config_of(**BOTH_KEYS)).train()
    wanted = one_step(copy.deepcopy(model), inputs)
    assert_same_bits(one_step(pickle.loads(pickle.dumps(model)), inputs), wanted)
    calls = layer_calls(again := copy.deepcopy(model))
    one_step(again, inputs)
    assert len(calls) == 12  # a copy still recomputes


def test_one_graph_for_both_encoders_and_all_lengths(dynamo, wrapper, others, caplog):
    """Tracing is torch.compile's own; the graphs are run as they are, so that this is cheap."""
    graphs = []

    def as_it_is(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    plain = training_without_dropout(wrapper("MMFusionSeparate"))
    model = training_without_dropout(wrapper("MMFusionSeparate", checkpoint_activations=True))
    execution.compile_layers(model, backend=as_it_is)
    sample = sample_of("MMFusionSeparate", others)
    batches = [sample, {k: v[:3] for k, v in sample.items()}]
    batches += [{k: v[:4, :-2] for k, v in sample.items()}]
    for training in (True, False):
        plain.train(training), model.train(training)
        for inputs in batches:
            assert_same_bits(one_step(model, inputs), one_step(plain, inputs))
    assert len(graphs) == 2  # one to train, one to evaluate
    one_row = {k: v[:1] for k, v in sample.items()}
    assert_same_bits(one_step(model, one_row), one_step(plain, one_row))
    assert len(graphs) == 3
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.slow
def test_compiled_numbers(dynamo, config_of, inputs):
    """About a minute: the layers are compiled to machine code, forward and backward."""
    model = build_model(config_of(compile=True))
    plain = build_model(config_of())
    plain.load_state_dict(model.state_dict())
    few = {k: v[:3] for k, v in inputs.items()}
    for prepare in (torch.nn.Module.eval, training_without_dropout):
        prepare(plain), prepare(model)
        for sample in (inputs, few):
            wanted, got = one_step(plain, sample), one_step(model, sample)
            close(got[0], wanted[0])
            assert list(got[1]) == list(wanted[1])
            for name, gradient in wanted[1].items():
                close(got[1][name], gradient)
    assert all(layer._compiled_call_impl for layer in execution.layers_of(model))


@pytest.mark.slow
def test_recomputed_dropout_of_compiled_layers(dynamo, config_of, inputs):
    """Compiled dropout draws other numbers, but the same ones when a layer is recomputed: along a
    random direction the loss changes as the gradient says."""
    model = build_model(config_of(**BOTH_KEYS)).train().double()
    sample = cast(inputs, torch.float64)
    _, gradients, _ = one_step(model, sample)
    generator = torch.Generator().manual_seed(0)
    # torch gives the embedding of padding no gradient, though the loss depends on it
    parameters = {n: p for n, p in model.named_parameters() if "word_embeddings" not in n}
    direction = {
        name: torch.randn(gradient.shape, generator=generator)
        for name, gradient in gradients.items()
        if name in parameters
    }

    def moved(by):
        with torch.no_grad():
            for name, way in direction.items():
                parameters[name].add_(way, alpha=by)
        return one_step(model, sample)[0]

    step = 1e-6
    ahead, behind = moved(step), moved(-2 * step)
    slope = sum((gradients[n] * way).sum() for n, way in direction.items())
    assert abs((ahead - behind) / (2 * step) - slope) < 1e-5 * abs(slope)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU needs no C++ compiler")
def test_no_compiler_is_one_line(dynamo, config_of):
    from torch._inductor import config as inductor

    with (
        inductor.patch({"cpp.cxx": (None, "no-such-g++")}),
        pytest.raises(ConfigError, match=r"^model\.compile: .*no-such-g\+\+.* false$") as caught,
    ):
        build_model(config_of(compile=True))
    assert "\n" not in str(caught.value)


def test_the_compilers_own_words(monkeypatch):
    def broken(function):
        try:
            raise OSError("Command '['g++', 'x.cpp']' returned 1")
        except OSError as error:
            complaint = "C++ compile error\n\nOutput:\nx.cpp:1: fatal error: Python.h: No such file"
            raise RuntimeError(complaint) from error

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ConfigError, match=r"\(x.cpp:1: fatal error: Python.h: No such file\); ins"):
        execution.require_compiler()
