"""Progress bars: as tqdm's in a terminal, and lines in a file."""

import io

from runs import TINY, run
from tqdm import tqdm

from mot_lightning import bar
from mot_lightning.bar import Bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(kind, file, leave=True):
    with kind(total=4, file=file, desc="Sorting", leave=leave, mininterval=0, bar_format="{desc} {n}/{total}") as steps:
        for _ in range(4):
            steps.update()
    return file.getvalue()


def test_a_file_gets_one_line_at_the_end_and_none_of_a_bar_that_goes():
    assert shown(Bar, io.StringIO()) == "Sorting 4/4\n"
    assert shown(Bar, io.StringIO(), leave=False) == ""


def test_a_file_gets_every_update_as_a_line_once_it_is_due(monkeypatch):
    monkeypatch.setattr(bar, "LINE_INTERVAL", 0.0)
    assert shown(Bar, io.StringIO()).splitlines() == [f"Sorting {n}/4" for n in range(5)]


def test_a_stream_that_can_only_write_gets_lines():
    class Tee:
        text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

        def getvalue(self):
            return self.text

    assert shown(Bar, Tee()) == "Sorting 4/4\n"


def test_a_stream_that_is_closed_first_is_no_error():
    file = io.StringIO()
    steps = Bar(total=4, file=file)
    file.close()
    steps.close()


def test_a_terminal_sees_what_tqdm_shows():
    assert shown(Bar, Terminal()) == shown(tqdm, Terminal())


def test_the_log_of_a_run_has_a_line_for_each_bar(tmp_path, capsys):
    arguments = [argument for argument in TINY if "progress_bar" not in argument]
    assert run(tmp_path, "fit", *arguments, "--report.prompts=1") == 0
    out, err = capsys.readouterr()
    assert not set("\r\x1b") & set(out + err)
    bars = [line.partition(":")[0] for line in (out + err).splitlines() if "%|" in line]
    assert bars == ["Training", "Testing DataLoader 0", "Evaluating"]
    assert "100%|██████████| 6/6 [" in out
