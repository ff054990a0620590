from __future__ import annotations

import pytest
import torch

from benchmarks.subjects.handwritten import HandwrittenLoop, make_network


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_network_is_the_guides() -> None:
    network = make_network()

    assert sum(parameter.numel() for parameter in network.parameters()) == 12_165
    assert [type(module).__name__ for module in network].count("Dropout") == 2


def test_the_loop_really_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.nn.Sequential] = []

    def record() -> torch.nn.Sequential:
        made.append(make_network())
        return made[-1]

    monkeypatch.setattr("benchmarks.subjects.handwritten.make_network", record)
    prepared = HandwrittenLoop(threads=1).prepare("updates")
    online, target = made
    before = [parameter.detach().clone() for parameter in online.parameters()]

    prepared.operation(3)

    changed = [
        not torch.equal(old, new) for old, new in zip(before, online.parameters(), strict=True)
    ]
    same = [torch.equal(old, new) for old, new in zip(before, target.parameters(), strict=True)]
    assert all(changed)
    assert all(same)


def test_it_does_nothing_else() -> None:
    with pytest.raises(ValueError, match="'training'"):
        HandwrittenLoop(threads=1).prepare("training")
