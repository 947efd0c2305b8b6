"""The commands on a cluster, whose queues have a hash tag in their prefix."""

import pytest

from tests.redis_groups import Cluster

USAGE = 2


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    made.start()
    yield made
    made.stop()


def test_queues_of_all_nodes_are_added_to_listed_and_looked_at(toril, cluster):
    settings = {"TORIL_URL": cluster.url, "TORIL_PREFIX": "{shop}"}
    added = toril("add", "mails", "send", '{"to": "Ada"}', "--create", **settings)
    assert added.code == 0, added.err
    for prefix in ("{a}", "{b}", "{c}"):
        toril("add", "mails", "send", "--create", **settings | {"TORIL_PREFIX": prefix})

    listed = toril("queue", "list", "--url", cluster.url, "--json").json["queues"]
    assert [one["prefix"] for one in listed] == ["{a}", "{b}", "{c}", "{shop}"]
    job = toril("job", "list", "mails", "--json", **settings).json["jobs"][0]
    assert job["name"] == "send"
    elsewhere = toril("job", "list", "{a}:mails", "--json", **settings)
    assert len(elsewhere.json["jobs"]) == 1

    found = toril("doctor", "--url", cluster.url, "--json")
    assert len([one for one in found.json["findings"] if one["check"] == "role"]) == 3


def test_a_prefix_without_a_hash_tag_is_refused_with_the_way_out(toril, cluster):
    answer = toril("add", "mails", "send", "--create", "--url", cluster.url)
    assert answer.code == USAGE
    assert "hash tag, but 'bull' has none: name it {bull}" in answer.said
