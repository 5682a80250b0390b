import numpy as np
import pytest

from radixlm.radix_cache.node import common_prefix, compact


@pytest.mark.parametrize(
    ("a", "b", "length"),
    [
        ([1], [1], 1),
        ([1], [2], 0),
        ([1, 2, 3], [1, 2, 4], 2),
        ([1, 2, 3], [1, 2], 2),
        ([1, 2], [1, 2, 3], 2),
    ],
)
def test_the_common_prefix_ends_at_the_first_difference(
    a: list[int], b: list[int], length: int
) -> None:
    assert common_prefix(np.array(a, dtype=np.int32), np.array(b, dtype=np.int32)) == length


def test_a_small_rest_of_a_large_array_is_copied_and_a_large_rest_is_not() -> None:
    whole = np.arange(100, dtype=np.int32)
    assert compact(whole) is whole
    assert compact(whole[:50]).base is whole
    small = compact(whole[:49])
    assert small.base is None
    assert small.tolist() == list(range(49))
