"""Did you mean ...: the closest known word, or none."""

from mot_lightning.config.hints import did_you_mean, did_you_mean_setting


def test_the_closest_word_and_never_the_word_itself():
    assert did_you_mean("fitt", ["fit", "test"]) == ", did you mean fit?"
    assert did_you_mean("fit", ["fit", "zzz"]) == ""
    assert did_you_mean("qqqq", ["fit", "test"]) == ""


def test_of_dotted_names_the_last_part_counts():
    assert did_you_mean_setting("max_step", ["trainer.max_steps", "seed"]) == ", did you mean trainer.max_steps?"
