"""What the terminal says before any work: help, misspelt words, completion, and short lists."""

import argparse
import shlex
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from TACEResponseLib.__main__ import main
from TACEResponseLib.commands.options import EXAMPLES, command_line
from TACEResponseLib.commands.output import in_short
from TACEResponseLib.commands.training import _performance_text
from TACEResponseLib.messages.errors import Problem, TrainingError
from TACEResponseLib.statistics.outcome import Outcome

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


def skipped(number, message="no response is known", **parts):
    parts = {"kind": "table", "severity": "warning", "remedy": "the patient was left out", **parts}
    return [Problem(message=message, patient_id=f"P{n:02d}", **parts) for n in range(1, number + 1)]


def test_eighteen_skipped_patients_are_one_line():
    (line,) = in_short(skipped(18, received="an empty cell"))
    assert line == (
        "18 patients (P01, P02, P03 and 15 more): no response is known. Received an empty cell. "
        "The patient was left out."
    )


def test_three_alike_are_named_one_by_one_and_errors_come_first():
    failed = skipped(1, "the mask is empty", severity="error", file="m.nrrd")
    lines = in_short([*skipped(3), *failed])
    assert lines[0] == "Patient P01, m.nrrd: the mask is empty. The patient was left out."
    assert [line[:11] for line in lines[1:]] == ["Patient P01", "Patient P02", "Patient P03"]


def test_a_shared_line_says_only_what_is_true_of_all():
    differing = [replace(p, received=f"{n} mm") for n, p in enumerate(skipped(5, expected="0 mm"))]
    assert in_short(differing) == [
        "5 patients (P01, P02, P03 and 2 more): no response is known. Expected 0 mm. "
        "The patient was left out."
    ]
    of_nobody = [Problem("table", "an empty column") for _ in range(5)]
    assert in_short(of_nobody) == ["An empty column."] * 5


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            "albumin_g_l=3.8",
            "--value albumin_g_l=3.8 cannot be g/l. Expected 10 to 70; received 3.8, which looks like g/dl. "
            "Give albumin_g_dl, or correct the value.",
        ),
        (
            "albumin=38",
            "--value albumin=38 does not say its unit. Expected albumin_g_l or albumin_g_dl; received "
            "albumin. Write the unit behind the name.",
        ),
        (
            "ascites=3",
            "--value ascites=3 is not a degree of ascites. Expected none, mild or more, or an empty cell; "
            'received "3", which may be a grade or Child-Pugh\'s points. Write the word.',
        ),
        (
            "kalium=4",
            "A clinical value has no known name. Expected for example albumin_g_l=38, bilirubin_umol_l=14, "
            "afp_ng_ml=>1210, ascites=none; received --value kalium=4.",
        ),
    ],
)
def test_a_bad_clinical_value_names_its_option(capsys, tmp_path, value, sentence):
    files = ["--image", tmp_path / "a", "--mask", tmp_path / "b", "--out", tmp_path / "out"]
    code, out, err = printed(capsys, "predict", *files, "--value", value)
    assert (code, out, err) == (2, "", f"{sentence}\n")


def test_two_values_that_contradict_each_other_name_the_later_option(capsys, tmp_path):
    files = ["--image", tmp_path / "a", "--mask", tmp_path / "b", "--out", tmp_path / "out"]
    values = ["--value", "albumin_g_l=38", "--value", "albumin_g_dl=3.9"]
    assert printed(capsys, "predict", *files, *values) == (
        2,
        "",
        "--value albumin_g_dl=3.9 contradicts another value. Expected 38; received 39. Keep one of them.\n",
    )


@pytest.mark.parametrize("missing", ["image", "mask"])
def test_a_missing_file_is_named_before_any_model_is_opened(capsys, tmp_path, monkeypatch, missing):
    monkeypatch.setattr("TACEResponseLib.service.PredictionService.open", None)  # whoever opens one fails
    for name in {"image", "mask"} - {missing}:
        (tmp_path / name).touch()
    files = ["--image", tmp_path / "image", "--mask", tmp_path / "mask", "--out", tmp_path / "out"]
    code, _, err = printed(capsys, "predict", *files)
    assert (code, err) == (2, f"{missing.title()} not found: {tmp_path / missing}. Check the path.\n")


def test_three_patients_have_no_auc_and_the_terminal_says_why():
    assert _performance_text([], np.array([1, 0, 0])) == (
        "No AUC can be given: it needs five responders and five non-responders, and there are "
        "1 responder and 2 non-responders."
    )


def test_a_single_responder_is_not_several():
    with pytest.raises(TrainingError, match="received 1 responder, 2 non-responders"):
        Outcome(np.array([1, 0, 0])).check(5)
