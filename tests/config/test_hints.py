"""Did you mean ...: the closest known word, or none."""

from mot_lightning.config.hints import did_you_mean, did_you_mean_setting


def test_the_closest_word_and_never_the_word_itself():
    assert did_you_mean("fitt", ["fit", "test"]) == ", did you mean fit?"
    assert did_you_mean("fit", ["fit", "zzz"]) == ""
    assert did_you_mean("qqqq", ["fit", "test"]) == ""


def test_of_dotted_names_the_last_part_counts():
    assert did_you_mean_setting("max_step", ["trainer.max_steps", "seed"]) == ", did you mean trainer.max_steps?"


def test_of_several_with_this_last_part_the_closest_name_is_meant():
    known = ["model.optimizer.learning_rate", "towers.learning_rate", "model.optimizer.warmup_steps"]
    hint = ", did you mean model.optimizer.learning_rate?"
    assert did_you_mean_setting("model.optimiser.learning_rate", known) == hint
    assert did_you_mean_setting("tower.learning_rat", known) == ", did you mean towers.learning_rate?"
