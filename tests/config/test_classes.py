"""Which classes a config may name."""

import pytest
from my_objective import SlowFlow
from runs import run_in_subprocess

from datamodules import Digits
from datamodules.documents import DocumentSettings
from mot_lightning.config.classes import check_arguments, find_class, same_class
from mot_lightning.errors import ConfigError
from mot_lightning.objectives import FlowMatching


def test_ours_go_by_bare_name_or_import_path():
    for path in ("FlowMatching", "mot_lightning.objectives.FlowMatching",
                 "mot_lightning.objectives.flow_matching.FlowMatching"):  # fmt: skip
        assert find_class(path) is FlowMatching
    assert find_class("Digits") is find_class("datamodules.Digits") is Digits


def test_others_need_their_package_allowed():
    with pytest.raises(ConfigError, match="outside the allowed packages: add --allow my_objective to use it"):
        find_class("my_objective.SlowFlow")
    assert find_class("my_objective.SlowFlow", ["my_objective"]) is SlowFlow
    with pytest.raises(ConfigError, match="my_objective"):
        find_class("my_objective.SlowFlow", ["my"])


def test_a_module_that_is_not_allowed_is_not_imported(tmp_path):
    (tmp_path / "evil.py").write_text("print('imported')")
    program = """
from mot_lightning.config.classes import find_class
try:
    find_class("evil.Class")
except ValueError as error:
    print(error)
"""
    assert "imported" not in run_in_subprocess("-c", program, cwd=tmp_path)


def test_what_is_nowhere_is_refused_with_the_closest_name():
    with pytest.raises(ConfigError, match=r"there is no class 'FlowMatchin', did you mean FlowMatching\?"):
        find_class("FlowMatchin")
    with pytest.raises(ConfigError, match=r"there is no class 'xyz', wanted one of .*Digits"):
        find_class("xyz")
    with pytest.raises(ConfigError, match="cannot be imported: No module named 'gone'"):
        find_class("gone.Class", ["gone"])


def test_one_class_may_have_several_names():
    assert same_class("Diffusion", "mot_lightning.objectives.diffusion.Diffusion")
    assert not same_class("Diffusion", "my_package.Diffusion")
    assert not same_class("Diffusion", "FlowMatching")


@pytest.mark.parametrize("package", ["datamodules/__init__.py", pytest.param("datamodules.py", marks=pytest.mark.slow)])
def test_a_users_own_package_in_the_working_directory_hides_nothing_of_ours(tmp_path, package):
    (tmp_path / package).parent.mkdir(exist_ok=True)
    (tmp_path / package).write_text("raise ImportError('of the user, and not ours')")
    output = run_in_subprocess("-m", "mot_lightning", "fit", "--print_config", cwd=tmp_path)
    assert "class_path: datamodules.digits.datamodule.Digits" in output


def test_a_mistyped_class_of_a_package_gets_the_closest_one():
    with pytest.raises(ConfigError, match=r"no class 'lightning.pytorch.callbacks.EarlyStoping', did you mean Early"):
        find_class("lightning.pytorch.callbacks.EarlyStoping", ["lightning"])


class Needy:
    def __init__(self, folder: str, size: int = 1, part: DocumentSettings = DocumentSettings()):  # noqa: B008
        pass


class Open(Needy):
    def __init__(self, folder: str, **others: int):
        pass


def test_arguments_of_a_class_are_all_known_and_those_that_it_needs_are_given():
    check_arguments("data", Needy, {"folder": "a", "size": 2})
    check_arguments("data", Needy, {}, linked=["folder"])
    check_arguments("data", Open, {"folder": "a", "anything": 2})
    for arguments, message in (
        ({"folder", "siz"}, "there is no setting 'data.siz' of Needy, did you mean data.size?"),
        ({"folder", "qqq"}, "there is no setting 'data.qqq' of Needy"),
        ({"folder", "noise_ca"}, "there is no setting 'data.noise_ca' of Needy, did you mean data.part.noise_cap?"),
        ({"size"}, "data: Needy needs a value for folder, wanted --data.folder=..."),
    ):
        with pytest.raises(ConfigError) as refusal:
            check_arguments("data", Needy, arguments)
        assert str(refusal.value) == message
