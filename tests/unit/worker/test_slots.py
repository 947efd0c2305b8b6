import pytest

from toril.worker.slots import Slots


class Pump:
    """What a queue's pump is to the slots."""

    def __init__(self, slots, *, hungry=True):
        self.hungry = hungry
        self.pokes = 0
        slots.join(self)

    def poke(self):
        self.pokes += 1


def test_one_queue_may_take_all():
    slots = Slots(10)
    pump = Pump(slots)

    assert slots.take(pump, 100) == 10
    assert slots.free == 0


@pytest.mark.parametrize("total", [3, 10, 11, 100])
def test_hungry_queues_share_what_is_free_evenly(total):
    slots = Slots(total)
    pumps = [Pump(slots) for _ in range(3)]

    shares = [slots.share(pump) for pump in pumps]

    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


def test_a_queue_without_work_leaves_its_share_to_the_others():
    slots = Slots(10)
    pump = Pump(slots)
    Pump(slots, hungry=False)

    assert slots.take(pump, 100) == 10


def test_a_queue_that_looks_for_work_gets_its_share_even_if_it_did_not_seem_hungry():
    slots = Slots(10)
    Pump(slots)
    pump = Pump(slots, hungry=False)

    assert slots.take(pump, 100) == 5


def test_a_single_slot_goes_round():
    slots = Slots(1)
    pumps = [Pump(slots) for _ in range(3)]
    served = []
    for _ in range(6):
        (pump,) = [pump for pump in pumps if slots.share(pump)]
        slots.take(pump, 100)
        served.append(pumps.index(pump))
        slots.give(1, pump)

    assert served == [0, 1, 2, 0, 1, 2]


def test_what_is_given_back_is_offered_to_the_hungry_but_not_to_the_giver():
    slots = Slots(2)
    giver, hungry, idle = Pump(slots), Pump(slots), Pump(slots, hungry=False)
    slots.take(giver, 100)

    slots.give(1, giver)

    assert (giver.pokes, hungry.pokes, idle.pokes) == (0, 1, 0)


def test_as_long_as_nothing_is_free_nobody_is_told():
    slots = Slots(1)
    giver, hungry = Pump(slots), Pump(slots)
    slots.take(giver, 100)

    slots.give(0, giver)

    assert hungry.pokes == 0


def test_slots_are_neither_lost_nor_made():
    slots = Slots(7)
    pumps = [Pump(slots) for _ in range(3)]
    for _ in range(10):
        taken = [slots.take(pump, 100) for pump in pumps]
        assert sum(taken) + slots.free == 7
        for pump, n in zip(pumps, taken, strict=True):
            slots.give(n, pump)

    assert slots.free == 7


@pytest.mark.parametrize("free", [1, 3, 10])
def test_slots_that_become_free_are_offered_to_few_however_many_are_hungry(free):
    slots = Slots(10)
    giver = Pump(slots)
    assert slots.take(giver, 10) == 10
    pumps = [Pump(slots) for _ in range(1000)]

    slots.give(free, giver)

    poked = [pump for pump in pumps if pump.pokes]
    assert free <= len(poked) <= free + 1
    assert sum(pump.pokes for pump in pumps) == len(poked)


def test_the_giver_and_those_who_are_offered_slots_may_take_all_of_them():
    slots = Slots(3)
    giver = Pump(slots)
    slots.take(giver, 3)
    pumps = [Pump(slots) for _ in range(1000)]

    slots.give(3, giver)

    # The giver knows of them without being told.
    taken = [slots.take(pump, 3) for pump in (giver, *pumps) if pump is giver or pump.pokes]
    assert sum(taken) == 3
    assert slots.free == 0


def test_every_hungry_queue_is_offered_a_slot_in_its_turn():
    slots = Slots(2)
    pumps = [Pump(slots) for _ in range(50)]
    served = set()
    for _ in range(50):
        for pump in pumps:
            if pump.pokes or not served:
                pump.pokes = 0
                taken = slots.take(pump, 2)
                if taken:
                    served.add(pump)
                    slots.give(taken, pump)

    assert served == set(pumps)
