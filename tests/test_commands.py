"""Every command and option of version 0.1 works still, or says what is there instead."""

import pytest

import foretype

# As `--help` of each command listed them.
COMMANDS = {
    "complete": "--deadline-ms --json --model --n --path --verbose",
    "why": "--deadline-ms --json --model --n --path --verbose",
    "egress": "--clear --dry-run --json --limit --yes",
    "lsp": "--allow-remote --log-file --stdio --tcp --verbose",
    "eval": (
        "--commits --gguf --html --jedi --json --lines --model --quick --range --seed "
        "--systems --tasks"
    ),
    "tune": (
        "--dry-run --epochs --fresh --general --html --json --lora --model --nightly --seed --tasks"
    ),
    "setup": "--client --write --yes",
    "doctor": "--json --no-editors --no-timing",
    "purge": "--dry-run --models --yes",
    "data prepare": "--force --out --processes --source",
    "data funnel": "",
    "data tokenizer": "--out --pattern --sample-mb --seed --vocab-size",
    "data pack": (
        "--block-size --epochs --force --out --processes --psm --seed --short --snippet-tokens "
        "--snippets --spans --split --spm --suffix-tokens --tokenizer"
    ),
    "train run": "--corpus --init --run --set --shards --tokenizer",
    "train export": "--average --corpus --notes --out --report --run --set --tokenizer",
    "train fit": "--json --kinds --out --report --repositories --seed --tasks",
    "models list": "--json --repository",
    "memory": "--all --dependencies --exclude --mb",
    "plan": "--gflops --price --set",
    "train eval": "--against --json --loss-bytes --model --seed --tasks",
    "train eval-infilling": "--corpus --json --limit --model --run-tokens --seed --unsandboxed",
    "models use": "--json --repository",
    "models pin": "--json --repository",
    "models unpin": "--json --repository",
    "models rollback": "--json --repository",
    "models remove": "--json --repository --force --yes",
    "models export": "--json --repository",
}


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run a command that ends while its arguments are read."""
    try:
        code = foretype.dispatch(words)
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("command", COMMANDS)
def test_command_and_options_of_before_work_or_say_what_replaced_them(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([*command.split(), "--help"], capsys)
    new = foretype.RENAMED.get(command, command)
    assert (code, out.split()[:2]) == (0, ["usage:", "foretype"])
    assert (f"foretype {command} is now foretype {new};" in err) == (new != command)
    for option in COMMANDS[command].split():
        if f"{option} " not in out.replace("]", " ").replace(",", " ").replace("\n", " "):
            code, _, err = run([*command.split(), option], capsys)
            assert code == 2 and f"{option} is gone: " in err, option
