"""The progress bar of training: its total and its rate, also of a resumed run."""

from runs import TINY, run


def test_a_resumed_run_counts_from_where_it_begins_to_all_its_steps(tmp_path, capsys):
    arguments = [argument for argument in TINY if "progress_bar" not in argument]
    assert run(tmp_path, "fit", *arguments, "--trainer.max_steps=3") == 0
    capsys.readouterr()
    last = tmp_path / "default/0/checkpoints/last.ckpt"
    assert run(tmp_path, "fit", f"--ckpt_path={last}", "--trainer.max_steps=6") == 0
    training = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Training")]
    assert "6/6 [" in training[-1]
