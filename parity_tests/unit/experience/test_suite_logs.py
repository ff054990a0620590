from __future__ import annotations

from pathlib import Path

from experience.arguments import choose_defaults
from experience.suite_logs import Averages, SuiteLog, format_table


def test_averages_are_means_of_what_was_added() -> None:
    averages = Averages()
    averages.add({"loss": 1.0, "Steps": 5.0})

    averages.add({"loss": 3.0})

    assert averages.means() == {"loss": 2.0, "Steps": 5.0}


def test_table_has_a_frame() -> None:
    assert format_table({"Epoch": "1/3", "loss": "10"}) == (
        "+-------+-----+\n| Epoch | 1/3 |\n| loss  |  10 |\n+-------+-----+"
    )


def test_resumed_run_goes_on_with_its_text_log(tmp_path: Path) -> None:
    arguments = choose_defaults(tag="a/b", env="ALE/Pong-v5", log_folder=str(tmp_path))
    with SuiteLog(arguments) as log:
        log.say("first")

    with SuiteLog(arguments, text_name=log.text_name) as again:
        again.say("second")

    [path] = (tmp_path / "text").iterdir()
    assert path.name.startswith("a-b-rrd-ALE-Pong-v5-(")
    assert path.read_text() == "first\nsecond\n"


def test_names_with_slashes_make_no_folders(tmp_path: Path) -> None:
    arguments = choose_defaults(tag="a/b", env="ALE/Pong-v5", log_folder=str(tmp_path))
    with SuiteLog(arguments) as log:
        path = log.write_returns([(10, 1.5)])

    assert path == tmp_path / "rews" / "a-b" / "a-b-rrd-ALE-Pong-v5" / "ALE-Pong-v5.npz"
