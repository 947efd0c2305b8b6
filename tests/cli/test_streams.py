"""Standard streams that are closed, full, or of another encoding."""


def test_a_reader_that_has_read_enough_is_no_error(filled):
    for _ in range(3):
        text = '{"text":"' + "x" * 900_000 + '"}'
        assert filled("add", "mails", "large", "-", stdin=text.encode()).code == 0
    done = filled.shell('"$toril" job list mails --json | head -n 1; "$toril" queue list >&-')
    assert (done.out, done.err) == ("{\n", "")


def test_closed_streams_are_stood_in_for(looked_at):
    done = looked_at.shell('"$toril" queue list <&- >&- 2>&-; echo $?')
    assert done.out == "0\n"
    done = looked_at.shell('"$toril" add mails send - <&-; echo $?')
    assert done.out == "2\n"
    assert done.err.startswith("toril: data: is not JSON")


def test_a_terminal_without_the_characters_still_gets_its_answer(looked_at):
    done = looked_at.shell('"$toril" queue list', PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")
    assert "mails" in done.out


def test_a_document_is_utf8_wherever_it_is_printed(filled):
    assert filled("add", "mails", "send", '{"to":"Zoë 🐂"}', "--job-id", "zoe").code == 0
    done = filled.shell('"$toril" job show mails zoe --json', PYTHONIOENCODING="latin-1")
    assert "Zoë 🐂" in done.out


def test_arguments_that_are_no_text_are_refused(looked_at):
    done = looked_at.shell(
        '"$toril" queue show "$(printf \'\\377\')"; "$toril" add mails "$(printf \'\\377\')"',
    )
    assert "Traceback" not in done.err
    assert done.code == 2
    assert len(done.err.splitlines()) == 2
