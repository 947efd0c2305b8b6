import logging

from toril.model.events import Event, EventBus, JobAdded, JobStalled
from toril.model.job import QueueRef

_QUEUE = QueueRef("bull", "q")
_ADDED = JobAdded(_QUEUE, "id", "name", created=True)
_STALLED = JobStalled(_QUEUE, "id", poisoned=False)


def test_a_subscriber_hears_the_events_of_its_type_only():
    bus, heard = EventBus(), []
    bus.subscribe(JobAdded, heard.append)

    bus.emit(_STALLED)
    bus.emit(_ADDED)

    assert heard == [_ADDED]


def test_subscribers_hear_in_the_order_in_which_they_came():
    bus, heard = EventBus(), []
    bus.subscribe(JobAdded, lambda _: heard.append("first"))
    bus.subscribe(JobAdded, lambda _: heard.append("second"))

    bus.emit(_ADDED)

    assert heard == ["first", "second"]


def test_a_subscriber_to_the_root_hears_every_event():
    bus, heard = EventBus(), []
    bus.subscribe(Event, heard.append)

    bus.emit(_ADDED)
    bus.emit(_STALLED)

    assert heard == [_ADDED, _STALLED]
    assert bus.wants(JobAdded)


def test_a_subscriber_that_fails_is_logged_and_keeps_nobody_from_hearing(caplog):
    bus, heard = EventBus(), []
    bus.subscribe(JobAdded, lambda _: 1 / 0)
    bus.subscribe(JobAdded, heard.append)

    with caplog.at_level(logging.ERROR, "toril.events"):
        bus.emit(_ADDED)

    assert heard == [_ADDED]
    assert "a subscriber to JobAdded failed" in caplog.text


def test_a_subscription_can_be_ended():
    bus, heard = EventBus(), []
    end = bus.subscribe(JobAdded, heard.append)

    end()
    bus.emit(_ADDED)

    assert heard == []
    assert not bus.wants(JobAdded)


def test_a_subscription_may_be_ended_twice():
    bus, heard = EventBus(), []
    end = bus.subscribe(JobAdded, heard.append)
    bus.subscribe(JobAdded, heard.append)

    end()
    end()
    bus.emit(_ADDED)

    assert heard == [_ADDED]


def test_a_subscriber_may_end_itself_while_it_is_told():
    bus, heard = EventBus(), []

    def once(event):
        heard.append(event)
        end()

    end = bus.subscribe(JobAdded, once)
    bus.emit(_ADDED)
    bus.emit(_ADDED)

    assert heard == [_ADDED]


def test_an_event_that_nobody_wants_need_not_be_made():
    bus = EventBus()
    bus.subscribe(JobAdded, print)

    assert bus.wants(JobAdded)
    assert not bus.wants(JobStalled)
