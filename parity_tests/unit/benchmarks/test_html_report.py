from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.html_report import guide_claims, parity_rows, render_html
from benchmarks.results import (
    OPERATIONS,
    BenchResult,
    Curve,
    Measurement,
    Requirement,
    WorkloadResult,
)

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

VOID = {"meta", "path", "use", "br", "input", "link"}
CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)


def example(label: str = "PyTorch, eager") -> BenchResult:
    styles = [
        Measurement(
            "legacy-fit",
            "legacy",
            "TensorFlow, fit + predict",
            "",
            (8.0, 8.2, 7.9),
            {OPERATIONS: 8},
        ),
        Measurement(
            "legacy-function", "legacy", "TensorFlow, tf.function", "", (600.0, 610.0, 590.0)
        ),
        Measurement("torch-eager", "torch", label, "", (900.0, 910.0, 905.0), {OPERATIONS: 905}),
        Measurement(
            "sb3", "other", "stable-baselines3 DQN", "", (), problem="not measured: not installed"
        ),
    ]
    needed = Requirement("torch-eager", "legacy-function", "", 1.2, "eager against tf.function")
    updates = WorkloadResult(
        "updates", "DQN updates", "What.", "updates/s", "higher", tuple(styles), (needed,)
    )
    memory = WorkloadResult(
        "memory", "Memory", "Peak.", "bytes", "lower",
        (
            Measurement("legacy-fit", "legacy", "TensorFlow, fit + predict", "", (660e6,)),
            Measurement("torch-eager", "torch", "PyTorch, eager", "", (290e6,)),
        ),
    )  # fmt: skip
    curves = tuple(
        Curve(framework, name, str(seed), (0.0, 500.0, 1000.0), (10.0, 100.0 + seed, 450.0 + seed))
        for framework, name in (("legacy", "TensorFlow"), ("torch", "PyTorch"))
        for seed in range(2)
    )
    parity = {"results": [{"pair": "dqn", "probe": "forward", "worst": 1e-16, "passed": True}]}
    return BenchResult(
        "torchward bench updates memory", {"cores": "2", "torch": "2.13.0"}, {"repeats": 3},
        (updates, memory), curves, parity,
    )  # fmt: skip


class Page(HTMLParser):
    """Collects what the tests ask about, and that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[int] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = render_html(example())
    page = Page(text)

    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    references = [
        value
        for _, name, value in page.attributes
        if name in {"src", "href", "xlink:href", "srcset"}
    ]
    assert references
    assert all(value.startswith("#") for value in references)
    assert "://" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_headings_go_down_one_level_at_a_time_and_ids_are_unique() -> None:
    page = Page(render_html(example()))

    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(
        after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False)
    )
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    anchors = {value[1:] for _, name, value in page.attributes if name == "href"}
    assert anchors <= set(ids)


def test_every_figure_says_in_words_what_it_shows() -> None:
    text = render_html(example())

    captions = re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", text)
    assert len(captions) == text.count("<figure") == 3
    assert captions[0].startswith("Best: PyTorch, eager with 905 updates/s (more is better).")
    assert "logarithmic" in captions[0]
    assert "starts at zero" in captions[1]
    assert "TensorFlow: 2 seeds, mean 450 at the end" in captions[2]


def test_a_page_of_learning_alone_says_nothing_about_rounds_of_measurements() -> None:
    page = render_html(replace(example(), workloads=()))

    assert "What the agents of both frameworks learn" in page
    assert "Medians of" not in page
    assert "takes turns" not in page


def test_text_from_elsewhere_cannot_become_markup() -> None:
    text = render_html(example("<script>alert(1)</script> & more"))

    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.slow
def test_the_same_result_gives_the_same_bytes() -> None:
    assert render_html(example()) == render_html(example())


def test_a_promise_that_is_not_kept_is_shown_as_missed() -> None:
    kept = render_html(example())
    body = example().to_json().replace('"at_least": 1.2', '"at_least": 99.0')
    missed = render_html(BenchResult.from_json(body))

    assert 'class="met"' in kept
    assert 'class="missed"' not in kept
    assert 'class="missed"' in missed
    assert "NOT MET" in missed


@pytest.mark.parametrize(
    ("steps", "full", "text"),
    [
        (40, False, "100 ms a step (over 40 steps)"),
        (2000, False, "100 ms a step (over 2,000 steps)"),
        (2000, True, "200 s for the 100 episodes"),
    ],
    ids=["short", "long but not from the start", "full"],
)
def test_only_a_full_training_is_reported_as_the_guides_100_episodes(
    steps: int, full: bool, text: str
) -> None:
    measured = Measurement(
        "torch-eager", "torch", "PyTorch, eager", "", (0.1,), {OPERATIONS: steps}
    )
    training = WorkloadResult("training", "Training", "What.", "s/step", "lower", (measured,))
    result = BenchResult("torchward bench", {}, {"full training": full}, (training,))

    [claim] = guide_claims(result)

    assert claim.measured == (("PyTorch, eager", text),)


def test_a_parity_report_becomes_a_table_of_its_single_values() -> None:
    report = {
        "version": 1,
        "results": [{"probe": "loss", "worst": 1.25e-16, "passed": True, "places": [1]}],
    }

    assert parity_rows(report) == [["probe", "worst", "passed"], ["loss", "1.25e-16", "yes"]]
    assert parity_rows({"version": 1}) == []


def browse(page: Path, folder: Path, width: int, *arguments: str) -> str:
    """Return what Chromium prints for the page at that width; a screenshot goes where `arguments` say."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        f"--user-data-dir={folder / f'profile-{width}-{len(arguments)}'}", *arguments, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [360, 390, 1200])
def test_a_browser_shows_the_page_without_scrolling_sideways(width: int, tmp_path: Path) -> None:
    page, frame, picture = (tmp_path / name for name in ("page.html", "frame.html", "shot.png"))
    text = render_html(
        example("PyTorch, with a label that is much longer than any line of a phone")
    )
    # A window of Chromium is never narrower than 500 pixels; a frame is. The page's own policy forbids scripts,
    # so the probe takes its place.
    probe = (
        "<script>addEventListener('load', () => parent.postMessage("
        "[document.documentElement.scrollWidth, innerWidth, document.querySelectorAll('svg text').length], '*'))"
        "</script>"
    )
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', text)
    assert policy is not None
    page.write_text(text.replace(policy.group(), probe), encoding="utf-8")
    frame.write_text(
        "<body style='margin:0'><output>none</output><script>addEventListener('message', event => "
        "document.querySelector('output').textContent = event.data.join(' '))</script>"
        f"<iframe src='page.html' style='border:0;width:{width}px;height:900px'></iframe>"
    )

    dump = browse(frame, tmp_path, width, "--virtual-time-budget=4000", "--dump-dom")
    browse(
        page, tmp_path, width, f"--window-size={max(width, 500)},2000", f"--screenshot={picture}"
    )

    found = re.search(r"<output>(\d+) (\d+) (\d+)</output>", dump)
    assert found is not None, dump[:300]
    content, window, words = (int(number) for number in found.groups())
    assert window == width
    assert content <= window
    assert words > 20
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
