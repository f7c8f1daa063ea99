"""A frozen language model predicts texts as before, to the last bit, while other modalities and control ids learn."""

import json

import pytest
import torch
from language_models import save
from runs import TINY, run
from transformers import AutoModelForCausalLM

from mot_lightning import BackboneSettings, FlowMatching, Modality, MoTModule, Patches
from mot_lightning.interop import LanguageModel, Pretrained
from mot_lightning.modality import assemble
from mot_lightning.sequence import Segment, pack
from mot_lightning.training.optimizer import OptimizerSettings
from mot_lightning.training.part_settings import PartSettings

FROZEN = PartSettings(freeze=True)


def build(folder, **freeze):
    source = LanguageModel(folder)
    modalities = {
        "text": Modality(source.codec(), source.objective()),
        "image": Modality(Patches((1, 8, 8), 4), FlowMatching()),
    }
    torch.manual_seed(1)
    model = assemble(modalities, "text", BackboneSettings(**source.backbone), {"text": Pretrained(folder)})
    OptimizerSettings(**freeze).freeze(model)
    return model.eval()


def learning(model, modality):
    return {name for name, weight in model.objectives[modality].named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("freeze", [{"towers": {"text": FROZEN}}, {"objectives": {"text": FROZEN}}])
def test_of_a_frozen_objective_only_rows_that_no_text_reads_learn(language_models, freeze):
    for name in ("llama", "qwen3"):  # tied, untied
        expected = {"control.head.weight", "control.others.weight"}
        assert learning(build(language_models[name], **freeze), "text") == expected


@torch.no_grad()
def test_losses_of_texts_depend_on_no_weight_that_learns_beside_a_frozen_language_model(language_models):
    model = build(language_models["qwen3"], towers={"text": FROZEN})
    one, two, three = (Segment("text", torch.arange(n, 2 * n)) for n in (15, 7, 3))
    batch = pack([[one], [two, three]], model.grammar, 64)
    before = model(batch)["text"]
    for weight in model.parameters():
        if weight.requires_grad:
            weight += torch.randn_like(weight)
    after = model(batch)["text"]
    assert before.content.sum() == 15 + 7 + 3 + 3  # and the ids that end the texts
    assert torch.equal(after.loss[after.content], before.loss[before.content])
    assert not torch.equal(after.loss[~after.content], before.loss[~before.content])  # what comes next


@torch.no_grad()
def test_a_text_costs_what_it_costs_in_the_language_model(language_models):
    """The loss of each id and of the end of the text, where the language model is given what begins the document."""
    folder, ids = language_models["llama"], torch.randint(1, 300, (30,), generator=torch.Generator().manual_seed(3))
    model, source = build(folder), LanguageModel(folder)
    losses = model(pack([[Segment("text", ids)]], model.grammar, 64))["text"]
    bos, eos = source.ends
    sequence = torch.cat([torch.tensor([bos, bos]), ids, torch.tensor([eos])])
    logits = AutoModelForCausalLM.from_pretrained(folder)(sequence[None, :-1]).logits[0, 1:]
    expected = torch.nn.functional.cross_entropy(logits, sequence[2:], reduction="none")
    torch.testing.assert_close(losses.loss[losses.content], expected, rtol=0, atol=1e-5)


def bits_per_byte(folder, checkpoint):
    """Of texts alone on the test split, as `test` writes them."""
    alone = ["--data.documents={text: 1.0}", "--report.prompts=0", "--trainer.limit_test_batches=1.0"]
    assert run(folder, "test", f"--ckpt_path={checkpoint}", *alone) == 0
    newest = max(folder.rglob("metrics.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())["test/text/bits_per_byte"]


@pytest.mark.slow
def test_bits_per_byte_of_texts_are_the_same_after_a_run(tmp_path):
    folder = save(tmp_path / "llama", "llama")
    start = [one for one in TINY if ".backbone." not in one]
    start += [f"--model.pretrained.text={folder}", "--model.optimizer.towers={text: {freeze: true}}"]
    values = []
    for steps in (1, 60):
        every = [f"--trainer.max_steps={steps}", f"--trainer.val_check_interval={steps}"]
        assert run(tmp_path / str(steps), "fit", *start, *every, "--model.optimizer.weight_decay=0.5") == 0
        values.append(bits_per_byte(tmp_path / str(steps), tmp_path / f"{steps}/default/0/checkpoints/last.ckpt"))
    assert values[0] == values[1]
    begun, learned = (MoTModule.load_from_checkpoint(tmp_path / f"{steps}/default/0").model for steps in (1, 60))
    one, two = (dict(model.objectives["text"].named_parameters()) for model in (begun, learned))
    assert {name for name in one if not torch.equal(one[name], two[name])} == learning(learned, "text")
