"""The flows that the tests add: a parent in `parents`, its children in `q`."""

FAIL = {"name": "fail", "data": {"reason": "no luck"}}


def parent(*children, **options):
    """A parent in `parents` with children in `q`."""
    return {
        "name": "children",
        "queueName": "parents",
        "data": {"who": "parent"},
        "opts": {"jobId": "parent", **options},
        "children": list(children),
    }


def child(n, *, name="echo", data=None, queue="q", **options):
    return {
        "name": name,
        "queueName": queue,
        "data": {"n": n} if data is None else data,
        "opts": {"jobId": f"child{n}", **options},
    }


def failing(n, **options):
    return child(n, **FAIL, **options)
