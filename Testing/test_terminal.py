"""What the terminal says before any work: help, misspelt words, completion, and short lists."""

import argparse
import shlex
import shutil
import subprocess

import pytest
from TACEResponseLib.__main__ import main
from TACEResponseLib.commands.options import EXAMPLES, command_line

COMMANDS = command_line().commands


def printed(capsys, *arguments):
    """Exit code, standard output and error stream of a run that may end in the parser."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def options_of(command):
    return [action for action in command._actions if action.dest != "help"]


def test_without_arguments_it_shows_its_help_with_three_examples(capsys):
    code, out, err = printed(capsys)
    assert (code, err) == (0, "")
    assert out.count("\n  tace-response ") == 3
    assert all(f"\n    {name}" in out for name in COMMANDS)
    assert "For research use only; not a medical device." in " ".join(out.split())


def test_the_examples_are_commands_that_the_command_line_takes():
    lines = [line for line in EXAMPLES.splitlines() if line.startswith("  tace-response")]
    lines += [command.epilog.partition("\n")[2].partition(" > ")[0] for command in COMMANDS.values()]
    assert len(lines) == 3 + len(COMMANDS)
    for line in lines:
        command_line().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["predcit"], 'tace-response: there is no command "predcit". Did you mean predict?'),
        (["followup"], 'tace-response: there is no command "followup". Did you mean follow-up?'),
        (["xyz"], 'tace-response: there is no command "xyz".'),
        (
            ["predict", "--out", "o", "--imgae=ct.nii.gz"],
            "tace-response predict: there is no option --imgae. Did you mean --image?",
        ),
        (["predict", "--out", "o", "--qqq"], "tace-response predict: there is no option --qqq."),
        (["predict", "--out", "o", "ct.nii"], 'tace-response predict: "ct.nii" belongs to no option.'),
    ],
)
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(capsys, given, sentence):
    code, out, err = printed(capsys, *given)
    program = sentence.partition(":")[0]
    assert (code, out, err) == (2, "", f"{sentence}\nSee {program} --help.\n")


def test_a_missing_option_is_one_sentence_without_a_list_of_all(capsys):
    code, _, err = printed(capsys, "predict")
    assert code == 2
    assert err.splitlines() == [
        "tace-response predict: the following arguments are required: --out.",
        "See tace-response predict --help.",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_sentence_in_a_group_and_says_its_default(name):
    command = COMMANDS[name]
    for action in options_of(command):
        assert action.help and action.help[0].isupper() and action.help.endswith("."), action.dest
        if action.default not in (None, False, "", []):
            assert "(default: %(default)s" in action.help, action.dest
    titles = command.format_help().split("\n\n")
    assert not any(part.startswith(("options:", "positional arguments:")) for part in titles)
    assert command.format_help().count("general:\n") == 1


@pytest.mark.parametrize("option", ["folds", "repeats", "seed", "outcome", "harmonisation", "headline"])
def test_the_help_of_train_names_the_default_of_the_recipe(option):
    from TACEResponseLib.settings import TrainingSettings

    recipe = TrainingSettings()
    expected = recipe.fusion.headline if option == "headline" else getattr(recipe, option)
    (action,) = (a for a in options_of(COMMANDS["train"]) if a.dest == option)
    assert action.help.endswith(f"(default: {expected}).")


def test_the_help_of_every_command_fits_its_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for parser in (command_line(), *command_line().commands.values()):
        lines = parser.format_help().partition("example")[0].splitlines()
        assert max(map(len, lines)) <= 80, parser.prog


def completed(script, *words):
    """What bash offers for the last of these words."""
    ask = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMPREPLY=(); '
        "how=$(complete -p tace-response); how=${how##*-F }; "
        '${how%% *} tace-response "${@: -1}" "${@: -2:1}"; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", ask, "bash", str(script), *words], capture_output=True, text=True, check=False
    )
    return done.stdout.split()


def test_bash_completes_commands_options_choices_and_files(tmp_path, capsys):
    assert shutil.which("bash"), "bash is what this test asks"
    code, out, _ = printed(capsys, "completion", "bash")
    assert code == 0
    script = tmp_path / "completion.sh"
    script.write_text(out, encoding="utf-8")
    (tmp_path / "ct.nii.gz").touch()
    assert completed(script, "tace-response", "pre") == ["predict"]
    assert completed(script, "tace-response", "predict", "--im") == ["--image"]
    assert completed(script, "tace-response", "follow-up", "--response", "") == ["CR", "PR", "SD", "PD"]
    start = str(tmp_path / "ct")
    assert completed(script, "tace-response", "predict", "--image", start) == [f"{start}.nii.gz"]


@pytest.mark.parametrize(("shell", "begins"), [("zsh", "#compdef tace-response"), ("fish", "complete -c")])
def test_zsh_and_fish_scripts_name_every_command_and_option(capsys, shell, begins):
    code, out, _ = printed(capsys, "completion", shell)
    assert code == 0
    assert begins in out
    for name, command in COMMANDS.items():
        assert name in out
        for option in options_of(command):
            long = [text for text in option.option_strings if text.startswith("--")]
            assert all(text in out or f"-l {text[2:]} " in out for text in long), long


def test_completion_without_its_package_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    code, out, err = printed(capsys, "completion", "bash")
    assert (code, out) == (2, "")
    assert err == "Completion needs the package shtab. Install it with: pip install shtab.\n"


def test_the_parser_refuses_a_word_that_is_no_option_even_as_a_library():
    with pytest.raises(SystemExit):
        command_line().parse_args(["schema", "prediction", "--outt"])
    assert isinstance(command_line().parse_args(["demo"]), argparse.Namespace)
