"""Completion in a shell: verbs, options, states, and the names of the store's queues."""

import pytest


def completed(program, words):
    """Return what bash would offer for the last of the words."""
    answer = program(
        COMP_WORDS=f"toril {words}",
        COMP_CWORD=str(len(words.split(" "))),
        _TORIL_COMPLETE="bash_complete",
    )
    assert answer.err == ""
    return [line.partition(",")[2] for line in answer.out.split()]


def test_words_are_completed(looked_at):
    assert completed(looked_at, "queue pa") == ["pause"]
    assert completed(looked_at, "queue show ma") == ["mails"]
    assert completed(looked_at, "job list mails --state wa") == ["waiting", "waiting-children"]
    assert completed(looked_at, "job retry --url sqlite:///toril.db ") == ["empty", "mails"]


@pytest.mark.parametrize("url", ["sqlite:///no.db", "nonsense", "sqlite:///notes.txt"])
def test_what_is_wrong_with_the_store_is_not_told_to_a_shell(toril, url):
    toril.write("notes.txt", "no database\n" * 1000)
    assert completed(toril, f"queue show --url {url} ma") == []
    assert [path.name for path in toril.folder.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(looked_at, shell):
    answer = looked_at("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert "_TORIL_COMPLETE" in answer.out
