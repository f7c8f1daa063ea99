"""What --help, --help-all and --KEY.help show."""

import pytest

from mot_lightning import codecs, objectives
from mot_lightning.cli.main import main
from mot_lightning.commands import COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_short_and_names_every_option(capsys, command):
    main([command, "--help"])
    output = capsys.readouterr().out
    assert 8 < len(output.splitlines()) < 45
    assert all(f"--{option.name} " in output for option in COMMANDS[command].options)


def test_every_setting_is_listed_with_its_type_and_default(capsys):
    main(["fit", "--help-all"])
    output = capsys.readouterr().out
    for place, names in (("data", ["Digits"]), ("model.modalities.NAME.codec", codecs.__all__),
                         ("model.modalities.NAME.objective", objectives.__all__)):  # fmt: skip
        abstract = ("Codec", "Objective")
        assert all((f"--{place}={name}\n" in output) is (name not in abstract) for name in names)
    for name in (
        "data.speed_perturbation", "data.document_settings.unconditional_modalities", "model.backbone.dim",
        "model.modalities.NAME.codec.patch_size", "model.modalities.NAME.objective.prediction_type",
        "trainer.max_steps",
    ):  # fmt: skip
        assert f"--{name} " in output
    assert "{epsilon,v_prediction,sample}" in output


@pytest.mark.parametrize("argument", ["--data.help", "--data.help=Digits"])
def test_the_settings_of_a_class(capsys, argument):
    main(["fit", argument])
    output = capsys.readouterr().out
    assert output.startswith("--data=Digits\n")
    assert "--data.batch_size " in output
    assert "folder of MNIST's IDX files" in " ".join(output.split())
    assert "--model" not in output


def test_the_settings_of_a_part_and_of_a_class_in_its_place(capsys):
    main(["fit", "--model.backbone.help"])
    output = capsys.readouterr().out
    assert "--model.backbone.dim " in output
    assert "--trainer" not in output
    main(["fit", "--report.help"])
    assert capsys.readouterr().out.startswith("Writes `metrics.json`")
    main(["fit", "--model.modalities.image.objective.help"])
    assert "--model.modalities.image.objective.steps " in capsys.readouterr().out
    main(["fit", "--model.modalities.image.objective.help=my_objective.SlowFlow", "--allow=my_objective"])
    assert capsys.readouterr().out.startswith("--model.modalities.image.objective=SlowFlow\n")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--data.help=Digitz", "did you mean Digits?"),
        ("--model.backbon.help", "there is no setting 'model.backbon'"),
        ("--model.modalities.image.objective.help=my_objective.SlowFlow", "add --allow my_objective"),
    ],
)
def test_help_on_what_is_not_there_is_one_line(capsys, argument, message):
    with pytest.raises(SystemExit) as end:
        main(["fit", argument])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
