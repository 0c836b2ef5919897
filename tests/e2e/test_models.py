"""Models exchanged under the hands of a person who types: nothing is lost, nobody is mixed up."""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from assistant.cli import models as cli
from assistant.models.registry import Registry, repository_id
from tests.e2e.raw_client import ROOT, TIMEOUT_S, Client, ServerProcess
from tests.own_models import added
from tests.repositories import new_repository
from tests.scripted import speaking_folder
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.usefixtures("shared_cache"),
    pytest.mark.skipif(
        not (ROOT / "model" / "bundled" / "python" / "foretype.json").exists(),
        reason="this checkout has no bundled model",
    ),
]

OWN = "own-20260102-1"
WAIT_S = 4 * TIMEOUT_S  # the first test of a run has the graph built
SERVER = [sys.executable, "-m", "tests.e2e.swapping_server"]
OPTIONS = {"show": "eager", "deadline_ms": 20_000, "index": False}
TYPED, SPOKEN = "x = hand", "y_mo"  # what the model of our own says after `hand`


class Person:
    """Types the same line again and again, and counts which model answered."""

    def __init__(self, client: Client, uri: str) -> None:
        self.client = client
        self.uri = uri
        self.version = 1
        self.n_asked = 0
        self.answered: Counter[str] = Counter()

    def command(self, name: str, *arguments: Any) -> Any:
        params = {"command": f"foretype.{name}", "arguments": [*arguments]}
        return self.client.result(self.client.ask("workspace/executeCommand", params), WAIT_S)

    def type_line(self) -> str:
        """Type the line; return the model that answered its last key."""
        for n_keys in range(5, len(TYPED)):
            self._ask(n_keys)
        early = [self._ask_in_a_hurry(n_keys) for n_keys in (6, 7)]
        items = self._ask(len(TYPED))
        for request in early:  # outdated by the next key, but answered
            self.client.result(request, WAIT_S)
        model = str(self.command("why")["model"])
        texts = [item["insertText"] for item in items]
        assert (SPOKEN in texts) == (model == OWN), (model, texts)
        return model

    def type_until(self, model: str) -> int:
        """Type until `model` answers; return how many lines that took."""
        deadline = time.monotonic() + WAIT_S
        for n_lines in range(1, 10_000):
            if self.type_line() == model:
                return n_lines
            assert time.monotonic() < deadline, self.answered
        raise AssertionError

    def _ask_in_a_hurry(self, n_keys: int) -> int:
        self.version += 1
        self.client.change(self.uri, self.version, {"text": TYPED[:n_keys] + "\n"})
        self.n_asked += 1
        return self.client.ask_inline(self.uri, 0, n_keys)

    def _ask(self, n_keys: int) -> list[dict[str, Any]]:
        result = self.client.result(self._ask_in_a_hurry(n_keys), WAIT_S)
        assert isinstance(result, dict), "nothing has outdated this request"
        self.answered[str(self.command("why")["model"])] += 1
        items: list[dict[str, Any]] = result["items"]
        return items


def opened(server: ServerProcess, repository: Path, **options: Any) -> Person:
    client = server.client
    folders = [{"uri": repository.as_uri(), "name": "own"}]
    client.initialize(
        rootUri=None, workspaceFolders=folders, initializationOptions=OPTIONS | options
    )
    person = Person(client, (repository / "a.py").as_uri())
    client.open(person.uri, "\n")
    wait_for(lambda: person.command("status")["engine"] == "ready", seconds=WAIT_S)
    return person


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a model of its own, which is not in use."""
    repository = new_repository(tmp_path / "own", {"a.py": "\n"})
    added(Registry(), speaking_folder(tmp_path), OWN, repository=repository_id(repository))
    return repository


def models(repository: Path, *arguments: str) -> None:
    assert cli.main([*arguments, "--repository", str(repository)]) == 0


def test_nothing_is_lost_while_models_are_exchanged(repository: Path) -> None:
    # There is never a quiet second: what is chosen is loaded under full load, after 0.2 s.
    with ServerProcess(command=[*SERVER, "60", "0.2"]) as server:
        person = opened(server, repository)
        base = person.command("status")["model"]["base"]
        person.type_until(base)
        for _ in range(2):
            models(repository, "use", OWN)
            person.type_until(OWN)
            models(repository, "rollback")
            person.type_until(base)
        uri = {"uri": person.uri}
        assert person.command("useModel", {"name": OWN, **uri})["ok"] is True
        person.type_until(OWN)
        status = person.command("status", uri)["model"]
        assert (status["serving"], status["chosen_by"]) == (OWN, "registry")
        assert status["loaded"] == [OWN]
        assert person.answered.keys() == {base, OWN}
        assert sum(person.answered.values()) <= person.n_asked
        assert server.client.others.empty()  # no message to the user, no request unanswered
        assert server.finish() == 0


def test_quiet_moment_is_waited_for(repository: Path) -> None:
    models(repository, "use", OWN)  # builds its graph
    models(repository, "use", "base")
    with ServerProcess(command=[*SERVER, "3", "600"]) as server:
        person = opened(server, repository)
        base = person.command("status")["model"]["base"]
        assert person.type_line() == base
        Registry().use(OWN, repository_id(repository))
        for _ in range(5):
            assert person.type_line() == base
        time.sleep(3.5)
        person.type_until(OWN)
        assert server.finish() == 0


def test_damaged_model_is_told_once_and_the_base_serves(repository: Path) -> None:
    models(repository, "use", OWN)
    (Registry().place(OWN) / "model.safetensors").write_bytes(b"damaged")
    with ServerProcess(command=[*SERVER, "0", "0"]) as server:
        person = opened(server, repository)
        told = server.client.others.get(timeout=WAIT_S)
        assert told["method"] == "window/showMessage"
        assert OWN in told["params"]["message"]
        base = person.command("status")["model"]["base"]
        assert person.type_line() == base
        Registry().file.write_text("{")
        told = server.client.others.get(timeout=WAIT_S)
        assert "registry.json is damaged" in told["params"]["message"]
        assert person.type_line() == base
        assert person.command("models", {})["message"]
        assert person.command("useModel", {"name": OWN})["ok"] is False
        assert server.client.others.empty()
        assert server.finish() == 0


def test_model_that_the_settings_name_wins(repository: Path) -> None:
    models(repository, "use", OWN)
    with ServerProcess(command=[*SERVER, "0", "0"]) as server:
        person = opened(server, repository, model=str(ROOT / "model" / "bundled" / "python"))
        time.sleep(1.0)
        assert person.type_line() != OWN
        assert person.command("status")["model"]["chosen_by"] == "settings"
        refused = person.command("useModel", {"name": OWN, "uri": person.uri})
        assert (refused["ok"], "setting `model`" in refused["message"]) == (False, True)
        assert person.command("models", {"uri": person.uri})["settings_model"]
        assert server.finish() == 0
