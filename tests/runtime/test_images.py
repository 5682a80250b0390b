"""What the tree knows images by, and how prompts hold them."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from radixlm.runtime.desk.pictures import place
from radixlm.runtime.desk.showing import Showing
from radixlm.runtime.engine.inputs import ImageSpan
from radixlm.runtime.engine.vision import VisionEncoder
from radixlm.runtime.errors import InvalidRequestError
from radixlm.runtime.images import FIRST_KEY, SURE, Image, keyed, keyed_ids, readable
from radixlm.runtime.messages import Forget, Show, Submit, VisionSpec
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler.job import Job

VISION = VisionSpec(image_token_id=7, num_rows=8, shape=(1, 2, 2))


def image(value: float, count: int = 8) -> Image:
    return Image.of(np.full((1, 2, 2), value, dtype=np.float32), count)


def test_an_image_has_a_key_of_its_own_above_every_vocabulary() -> None:
    one, same, other = image(1).key(), image(1).key(), image(2).key()
    assert one.dtype == np.int32
    assert (one >= FIRST_KEY).all()
    assert len(set(one.tolist())) == 8
    assert np.array_equal(one, same)
    assert not (one == other).any()
    assert not np.array_equal(one[:4], image(1, 4).key()[::-1])


def test_the_shape_counts_as_content() -> None:
    pixels = np.zeros((1, 2, 3), dtype=np.float32)
    assert Image.of(pixels, 6).digest != Image.of(pixels.reshape(1, 3, 2), 6).digest


def test_only_placeholders_are_keyed() -> None:
    tokens = np.arange(20, dtype=np.int32)
    assert keyed(tokens, []) is tokens
    seen = image(1).moved(5)
    key = keyed(tokens, [seen])
    assert key[:5].tolist() + key[13:].tolist() == [*range(5), *range(13, 20)]
    assert np.array_equal(key[5:13], seen.key())
    assert tokens[5] == 5, "the ids themselves stay"
    assert keyed_ids(range(20), [seen]) == key.tolist()


def test_keys_are_shown_as_images() -> None:
    text = readable(lambda ids: "".join(map(chr, ids)))
    assert text([65, *image(1).key().tolist(), 66, 67]) == "A<image>BC"


def test_each_image_takes_the_place_of_its_placeholder() -> None:
    tokens, images = place([1, 7, 2, 7], [image(1), image(2)], VISION)
    assert tokens == [1, *[7] * 8, 2, *[7] * 8]
    assert [one.at for one in images] == [1, 10]
    assert [one.digest for one in images] == [image(1).digest, image(2).digest]


@pytest.mark.parametrize("tokens", [[1, 2], [7], [7, 7, 7]])
def test_placeholders_and_images_must_be_as_many(tokens: list[int]) -> None:
    found = tokens.count(7)
    with pytest.raises(InvalidRequestError, match=f"has {found} placeholders.* 2 images"):
        place(tokens, [image(1), image(2)], VISION)


def test_a_match_of_a_few_positions_of_an_image_is_none() -> None:
    submit = Submit(
        rid=RequestId("a"),
        tokens=[7] * 30,
        sampling=SamplingParams(),
        seed=0,
        images=(image(1).moved(4), image(2).moved(20)),
    )
    job = Job.of(submit, max_new=1)
    told = [job.told_apart(length) for length in range(30)]
    wanted = list(range(30))
    for at in (4, 20):
        wanted[at + 1 : at + SURE] = [at] * (SURE - 1)
    assert told == wanted
    assert job.key[4] != job.key[20]
    assert job.sequence.tolist() == [7] * 30


class Counting:
    """A tower that tells which images it was shown."""

    def __init__(self) -> None:
        self.vision = VISION
        self.seen: list[float] = []

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen.append(float(pixels[0, 0, 0]))
        return torch.arange(8.0)[:, None] + 100 * pixels[0, 0, 0]


def test_what_was_seen_lately_is_kept_within_its_bound() -> None:
    tower = Counting()
    encoder = VisionEncoder(tower, kept_bytes=2 * 8 * 4)  # type: ignore[arg-type]
    for value in (1, 2, 3):
        encoder.show(image(value))
    rows = encoder.rows([ImageSpan(image(1), 6, 2, at=0), ImageSpan(image(2), 0, 1, at=4)])
    assert rows[:, 0].tolist() == [106, 107, 200]
    encoder.rows([ImageSpan(image(1), 0, 8, at=0)])
    encoder.rows([ImageSpan(image(3), 0, 8, at=0)])  # forgets the second
    encoder.rows([ImageSpan(image(1), 0, 8, at=0)])
    encoder.rows([ImageSpan(image(2), 0, 8, at=0)])
    assert tower.seen == [1, 2, 3, 2]
    encoder.forget(image(2).digest)
    encoder.rows([ImageSpan(image(2), 0, 8, at=0)])  # its rows are still there
    encoder.forget(image(3).digest)
    with pytest.raises(KeyError):
        encoder.rows([ImageSpan(image(3), 0, 8, at=0)])


class Scheduler:
    """What a scheduler has been told, and so what it has."""

    def __init__(self) -> None:
        self.images: set[bytes] = set()
        self.shown = 0

    def send(self, message: Show | Forget) -> None:
        if isinstance(message, Show):
            assert message.image.digest not in self.images, "once is enough"
            self.images.add(message.image.digest)
            self.shown += 1
        else:
            self.images.remove(message.digest)


@pytest.mark.parametrize("seed", range(5))
def test_the_scheduler_has_every_image_of_an_open_sequence(seed: int) -> None:
    rng, there = random.Random(seed), Scheduler()
    every = [image(value) for value in range(8)]
    showing = Showing(there.send, idle_bytes=2 * len(every[0].pixels))
    opened: list[list[Image]] = []
    for _ in range(400):
        if opened and rng.random() < 0.5:
            showing.end(opened.pop(rng.randrange(len(opened))))
        else:
            opened.append(rng.choices(every, k=rng.randint(1, 3)))
            showing.begin(opened[-1])
        wanted = {one.digest for images in opened for one in images}
        assert wanted <= there.images
        assert len(there.images) <= len(wanted) + 2
    assert there.shown < 400


def test_samples_and_turns_send_their_image_once() -> None:
    there = Scheduler()
    showing = Showing(there.send)
    for _ in range(3):
        for _ in range(4):
            showing.begin([image(1), image(1).moved(30)])
        for _ in range(4):
            showing.end([image(1), image(1).moved(30)])
    assert there.shown == 1
