"""What the running jobs will want: lengths that were learnt, and the peak of many."""

from __future__ import annotations

import random

import numpy as np
import pytest

from radixlm.runtime.scheduler.forecast import CAUTION, REMEMBERED, UNKNOWN, Forecast, peak
from radixlm.runtime.scheduler.job import Job
from radixlm.runtime.scheduler.schedule import Scheduler

from .simulation import Simulation, Wish, continuation


def rest(forecast: Forecast, generated: int, room: int = 1000) -> int:
    return int(forecast.rest(np.array([generated]), np.array([room]))[0])


def peak_step_by_step(own: list[int], rest: list[int]) -> int:
    """Let the jobs run, a token each a pass."""
    held, most = sum(own), 0
    for passed in range(1, max(rest, default=0) + 1):
        running = [i for i in range(len(own)) if rest[i] >= passed]
        most = max(most, sum(own[i] + passed for i in running) - held)
    return most


@pytest.mark.parametrize("seed", range(30))
def test_the_peak_is_what_a_run_step_by_step_meets(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randrange(8)
    own = [rng.randrange(30) for _ in range(count)]
    left = [rng.randrange(30) for _ in range(count)]
    found = peak(np.array(own, dtype=np.int64), np.array(left, dtype=np.int64))
    assert found == peak_step_by_step(own, left)


def test_a_job_becomes_as_long_as_those_that_became_longer_than_it_is() -> None:
    forecast = Forecast()
    assert rest(forecast, 0) == UNKNOWN
    for length in (10, 20, 30, 40):
        forecast.ended(length)
    assert CAUTION == 0.5
    assert (rest(forecast, 0), rest(forecast, 20), rest(forecast, 35)) == (20, 10, 5)
    assert rest(forecast, 40) == UNKNOWN  # nobody has become longer
    assert rest(forecast, 0, room=3) == 3


def test_retractions_make_it_cautious_and_requests_that_end_bold_again() -> None:
    forecast = Forecast()
    for length in range(1, 65):
        forecast.ended(length)
    assert rest(forecast, 0) == 32
    for _ in range(10):
        forecast.retracted()
    assert rest(forecast, 0) == 64
    for length in [*range(1, 65)] * (REMEMBERED // 64):
        forecast.ended(length)
    assert rest(forecast, 0) == 32


def test_old_lengths_are_forgotten() -> None:
    forecast = Forecast()
    for length in [5] * REMEMBERED + [50] * REMEMBERED:
        forecast.ended(length)
    assert rest(forecast, 0) == 50


def crowds() -> tuple[int, int]:
    """Retractions and passes of three crowds of eighty requests, once the first has been learnt."""
    simulation = Simulation(pool=800, chunk=64, max_running=32, is_checked=False)
    rng = random.Random(1)
    retractions = begun = 0
    for first in (20, 21, 22):
        wishes = [
            Wish((first, index, *rng.choices(range(9), k=30)), rng.randint(40, 60))
            for index in range(80)
        ]
        simulation.outputs, simulation.usages = {}, {}
        simulation.run(wishes)
        for index, wish in enumerate(wishes):
            assert simulation.outputs[f"r{index}"] == continuation(wish.prompt, wish.max_new)
        if first == 20:
            begun = simulation.step
        else:
            retractions += sum(usage.retractions for usage in simulation.usages.values())
    return retractions, simulation.step - begun


@pytest.mark.slow
def test_what_was_learnt_saves_retractions_and_costs_no_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against a fixed reserve of sixteen slots for each running job."""
    retractions, passes = crowds()

    def fixed(scheduler: Scheduler, job: Job, needed: int) -> int:
        return 16 * len(scheduler.running)

    monkeypatch.setattr(Scheduler, "_growth", fixed)
    fixed_retractions, fixed_passes = crowds()
    assert retractions < fixed_retractions / 2
    assert passes <= fixed_passes
