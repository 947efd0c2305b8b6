from toril.worker.middleware import wrap


async def test_without_middleware_the_call_is_itself():
    async def call():
        return 5

    assert await wrap([], None, call)() == 5


async def test_the_first_middleware_is_the_outermost():
    heard = []

    def layer(name):
        async def around(job, call_next):
            heard.append(f"{name} in")
            try:
                return f"{name}({await call_next()})"
            finally:
                heard.append(f"{name} out")

        return around

    async def call():
        heard.append("call")
        return "x"

    assert await wrap([layer("a"), layer("b")], None, call)() == "a(b(x))"
    assert heard == ["a in", "b in", "call", "b out", "a out"]


async def test_a_middleware_may_call_again():
    calls = []

    async def twice(job, call_next):
        await call_next()
        return await call_next()

    async def call():
        calls.append(1)
        return len(calls)

    assert await wrap([twice], None, call)() == 2


async def test_a_middleware_may_answer_without_the_handler():
    async def instead(job, call_next):
        return f"instead of {job}"

    async def call():
        raise AssertionError("it is not to be called")

    assert await wrap([instead], "job", call)() == "instead of job"
