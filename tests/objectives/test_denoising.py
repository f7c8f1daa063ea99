"""Denoising objectives: training on noisy latents, and sampling with exact predictions."""

import numpy as np
import pytest
import torch
from conftest import SMALL, TOKENS, make_document, make_model
from properties import total_loss

from mot_lightning.generation import Context
from mot_lightning.model import MixtureOfTransformers
from mot_lightning.noise import Noise
from mot_lightning.objectives import Diffusion, FlowMatching, NextToken
from mot_lightning.objectives.base import Embedded, Request
from mot_lightning.objectives.denoising import TimeEmbedding
from mot_lightning.seeds import generator_for
from mot_lightning.sequence import Segment, pack

DENOISERS = [(FlowMatching, "adaln"), (FlowMatching, "additive"), (Diffusion, "adaln"), (Diffusion, "additive")]
every_denoiser = pytest.mark.parametrize(("objective", "time"), DENOISERS)


def fresh(objective):
    """An untrained model of text and the objective's modality."""
    name = "speech" if objective.discrete else "image"
    torch.manual_seed(0)
    tokens = {"text": TOKENS["text"], name: TOKENS[name]}
    return MixtureOfTransformers({"text": NextToken(), name: objective}, tokens, "text", SMALL), name


def fit(model, batch, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = total_loss(model, batch, seed=0)
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(("objective", "time"), [(NextToken, None), *DENOISERS])
def test_training_overfits_one_batch(objective, time):
    model, name = fresh(objective(time_conditioning=time) if time else objective())
    rng = np.random.default_rng(0)
    batch = pack([make_document(rng, ["text", name]) for _ in range(3)], model.grammar, 64)
    with torch.no_grad():
        start = model(batch, 0)
        initial_loss = start[name].loss.mean()
        if time:  # the loss of predicting zero for this noise
            target = model.objectives[name].embed(batch.by_modality[name], Noise.of(batch.by_modality[name])).target
            torch.testing.assert_close(initial_loss, target.square().mean())
    fit(model, batch, 40)
    with torch.no_grad():
        end = model(batch, 0)
    assert end[name].loss.mean() < 0.1 * initial_loss
    content = start["text"].content  # the order of modalities is the same in all documents
    assert end["text"].loss[~content].mean() < 0.1 * start["text"].loss[~content].mean()


def batch_of(model, *segments):
    return pack([[segment] for segment in segments], model.grammar, 64).by_modality["image"]


def images(n, **others):
    latents = torch.randn(n, 4, 3, generator=generator_for(5))
    return [Segment("image", image, **others) for image in latents]


@every_denoiser
def test_embed_is_reproducible_by_seed(objective, time):
    model, _ = fresh(objective(time_conditioning=time))
    batch = batch_of(model, *images(3))
    embeddings = [model.objectives["image"].embed(batch, Noise.of(batch, seed)) for seed in (1, 1, 2)]
    for one, again, other in zip(*embeddings, strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, again)
            assert not torch.equal(one, other)


@every_denoiser
@pytest.mark.parametrize("cap", [0.0, 0.3, 1.0])
def test_sampled_times_do_not_exceed_the_noise_cap(objective, time, cap):
    model, _ = fresh(objective(time_conditioning=time))
    t = model.objectives["image"].sample_times(torch.full((500,), cap), Noise(torch.arange(500)))
    assert (t >= 0).all()
    assert (t <= cap + 1e-6).all()
    assert t.max() >= 0.95 * cap  # and come close to it
    mean = 1.5 - 0.75 * np.log(3) if objective is FlowMatching else 0.5  # of 3 t / (1 + 2 t)
    assert t.mean() == pytest.approx(cap * mean, abs=0.05)


@every_denoiser
def test_clean_segments_are_embedded_at_time_zero(objective, time):
    model, _ = fresh(objective(time_conditioning=time))
    image = model.objectives["image"]
    clean, noisy = images(2, loss=False), images(2)
    batch = batch_of(model, clean[0], noisy[1])
    embedded = image.embed(batch, Noise.of(batch))
    embedding, condition = image.embed_clean(torch.stack([clean[0].tokens, noisy[1].tokens]))
    torch.testing.assert_close(embedded.embedding[:4], embedding[0])
    assert (embedded.embedding[4:] - embedding[1]).abs().max() > 1e-3
    assert (embedded.condition is None) == (time == "additive")
    if condition is not None:
        torch.testing.assert_close(embedded.condition[0], condition[0])
        assert (embedded.condition[1] - condition[0]).abs().max() > 1e-4


@every_denoiser
def test_clean_latents_follow_from_noisy_latents_and_target(objective, time):
    """Solves the equation of each objective for x_0."""
    model, _ = fresh(objective(time_conditioning=time))
    image = model.objectives["image"]
    x_0, noise = torch.randn(2, 50, 3, generator=generator_for(0))
    t = image.sample_times(torch.full((50,), 0.9), Noise(torch.arange(50)))[:, None]
    x_t, target = image.corrupt(x_0, noise, t)
    if objective is FlowMatching:
        back = x_t - t * target
    else:
        alpha_t = image.alphas_cumprod[(1000 * t).round().long()]
        back = alpha_t.sqrt() * x_t - (1 - alpha_t).sqrt() * target
        torch.testing.assert_close(target, alpha_t.sqrt() * noise - (1 - alpha_t).sqrt() * x_0)
    torch.testing.assert_close(back, x_0, rtol=1e-3, atol=1e-4)


def test_target_weights_scale_the_loss():
    objective = FlowMatching()
    objective.build(8, TOKENS["image"])
    hidden, target = torch.randn(4, 8), torch.randn(4, 3)
    plain = objective.loss(hidden, Embedded(hidden, target))
    weighted = objective.loss(hidden, Embedded(hidden, target, weight=torch.arange(4.0)))
    torch.testing.assert_close(weighted, plain * torch.arange(4.0))


class PerfectFlow(FlowMatching):
    """Flow matching with the exact velocity towards x_0."""

    def predict(self, context, x_t, t, condition):
        return (x_t - self.x_0) / t[:, None, None]


class PerfectDiffusion(Diffusion):
    """Diffusion with the exact prediction for x_0."""

    def predict(self, context, x_t, t, condition):
        alpha_t = self.alphas_cumprod[(t * len(self.alphas_cumprod)).round().long()][:, None, None]
        noise = (x_t - alpha_t.sqrt() * self.x_0) / (1 - alpha_t).sqrt()
        velocity = alpha_t.sqrt() * noise - (1 - alpha_t).sqrt() * self.x_0
        return self.x_0 if self.prediction_type == "sample" else velocity


def sample(objective, x_0, seed=0):
    """Latents sampled after one context token."""
    objective.build(32, TOKENS["image"])
    objective.x_0 = x_0
    context = Context(make_model("additive").backbone, len(x_0))
    with torch.no_grad():
        context.append(torch.ones(len(x_0), 1, 32), "text", True)
        generators = [generator_for(seed, i) for i in range(len(x_0))]
        latents = objective.sample(context.for_modality("image", False), Request(generators, length=4))
    assert context.lengths.tolist() == [1] * len(x_0)  # sampling does not append to the context
    return torch.stack(latents)


@pytest.fixture
def x_0():
    """Latents within [-1, 1], which no scheduler clips."""
    return 2 * torch.rand(2, 4, 3, generator=generator_for(0)) - 1


def scheduler(name, **arguments):
    return {"class_path": f"diffusers.{name}", "init_args": arguments}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 1},
        {"steps": 7},
        {"scheduler": scheduler("FlowMatchEulerDiscreteScheduler", shift=3.0)},
        {"scheduler": scheduler("FlowMatchHeunDiscreteScheduler")},
    ],
)
def test_flow_matching_with_exact_velocity_samples_the_data(x_0, settings):
    torch.testing.assert_close(sample(PerfectFlow("additive", **settings), x_0), x_0, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 8},
        {"scheduler": scheduler("DDIMScheduler")},
        {"scheduler": scheduler("DDIMScheduler", beta_schedule="scaled_linear", timestep_spacing="trailing")},
        {"scheduler": scheduler("DDPMScheduler")},
        {"scheduler": scheduler("DDPMScheduler", beta_schedule="squaredcos_cap_v2")},
        pytest.param(
            {"scheduler": scheduler("DPMSolverMultistepScheduler"), "steps": 10},
            marks=pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),  # raised in diffusers with numpy 2
        ),
    ],
)
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_diffusion_with_exact_prediction_samples_the_data(x_0, settings, prediction_type):
    # where the number of steps divides 1000, the last step ends at alpha_t = 1: exact up to rounding
    objective = PerfectDiffusion("additive", prediction_type=prediction_type, **settings)
    torch.testing.assert_close(sample(objective, x_0), x_0, rtol=0, atol=1e-3)


def test_default_diffusion_scheduler_does_not_clip_large_latents(x_0):
    torch.testing.assert_close(sample(PerfectDiffusion("additive"), 4 * x_0), 4 * x_0, rtol=0, atol=4e-3)


@pytest.mark.parametrize("objective", [FlowMatching, Diffusion])
@pytest.mark.parametrize("time", ["adaln", "additive"])
def test_sample_is_determined_by_its_seed(objective, time):
    built = objective(time, steps=3)
    model = make_model(time)
    built.build(32, TOKENS["image"])
    model.objectives["image"] = built

    def sampled(seed):
        context = Context(model.backbone, 1)
        with torch.no_grad():
            context.append(torch.ones(1, 1, 32), "text", True)
            images = context.for_modality("image", False)
            return built.sample(images, Request([generator_for(seed)], length=4))[0]

    assert torch.equal(sampled(1), sampled(1))
    assert not torch.equal(sampled(1), sampled(2))


@torch.no_grad()
def test_times_are_embedded_alike_by_weights_of_any_precision():
    """Sinusoids of t stay float32: rounded to bfloat16, angles of up to 1,000 would be other ones."""
    torch.manual_seed(0)
    embedding, t = TimeEmbedding(16), torch.linspace(0, 1, 9)
    exact = embedding(t)
    rounded = embedding.bfloat16()(t)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)
    assert not [name for name, _ in embedding.named_buffers()]
