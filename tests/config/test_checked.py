"""Classes that check the names and types of their arguments."""

import copy
import inspect
from dataclasses import dataclass, replace
from typing import Any

import pytest

import mot_lightning as mot
from datamodules import Digits
from mot_lightning.config.checked import Checked, checked


class Base(Checked):
    def __init__(self, size: int = 1, *, name: str = "") -> None:
        self.size, self.name = size, name


class Open(Base):
    def __init__(self, extra: int = 0, size: int = 5, **settings: Any) -> None:
        super().__init__(size, **settings)


@checked("my")
@dataclass(frozen=True)
class Part:
    size: int = 1


def test_what_fits_is_built_and_copied():
    assert Base(2, name="a").size == copy.deepcopy(Base(2)).size == Open(size=2).size == 2
    assert replace(Part(1), size=2) == copy.copy(Part(2))


def test_settings_that_a_class_passes_on_are_in_its_signature():
    assert [*inspect.signature(Open).parameters] == ["extra", "size", "name"]
    assert (Open().size, Open(name="a").name) == (5, "a")
    assert (Digits(seed=7).seed, Digits(num_workers=2).num_workers, Digits().row_length) == (7, 2, 128)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Base("a"), "Base.size is 'a', wanted a whole number"),
        (lambda: Base(siz=1), "there is no setting 'siz', did you mean size?"),
        (lambda: Open(nam="a"), "there is no setting 'nam', did you mean name?"),
        (lambda: Open(name=1), "Open.name is 1, wanted a text"),
        (lambda: Part("a"), "my.size is 'a', wanted a whole number"),
        (lambda: Part(siz=1), "there is no setting 'siz', did you mean size?"),
        (lambda: mot.Patches(shape=8, patch_size=2), "Patches.shape is 8, wanted a list of 3"),
        (lambda: mot.FlowMatching(steps="many"), "FlowMatching.steps is 'many', wanted a whole number"),
        (lambda: Digits(batch_size="8"), "data.batch_size is '8', wanted a whole number"),
        (lambda: Digits(batchsize=8), "there is no setting 'batchsize', did you mean batch_size?"),
        (lambda: mot.MoTModule(bakbone=1), "there is no setting 'bakbone', did you mean backbone?"),
    ],
)
def test_what_does_not_fit_is_named(build, message):
    with pytest.raises(TypeError) as refusal:
        build()
    assert str(refusal.value) == message


def test_a_public_name_that_is_none_gets_the_closest():
    with pytest.raises(AttributeError, match=r"no attribute 'NextTokens', did you mean NextToken\?$"):
        mot.NextTokens  # noqa: B018


def test_a_missing_argument_is_left_to_python():
    with pytest.raises(TypeError, match="missing"):
        mot.MoTModule(control="text")
