"""Newest wins, nothing stale is answered, everything is answered once."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from assistant.request import Cancel, Completion, CompletionRequest
from assistant.settings import Settings
from lsp.scheduler import ScheduledRequest, Scheduler, describe
from tests.e2e.scripted_server import completion

TIMEOUT_S = 10.0


class StepEngine:
    """Stands still in every completion until the test lets it go on or it is cancelled."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.started: queue.Queue[str] = queue.Queue()
        self.go_on = threading.Semaphore(0)
        self.n_running = 0
        self.most_running = 0
        self.was_cancelled: queue.Queue[str] = queue.Queue()
        self.error: Exception | None = None

    def load(self) -> None:
        """Nothing to do."""

    def complete(self, request: CompletionRequest, cancel: Cancel) -> Sequence[Completion]:
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        self.started.put(request.text)
        while not self.go_on.acquire(timeout=0.005):
            if cancel.is_set():
                self.was_cancelled.put(request.text)
                break
        self.n_running -= 1
        if self.error is not None:
            raise self.error
        return [completion(request.text, 0, 0)]


class Bench:
    """A scheduler with an engine, and what it answered."""

    def __init__(self) -> None:
        self.engine = StepEngine()
        self.errors: list[Exception] = []
        self.scheduler = Scheduler(self.errors.append)
        self.jobs: dict[str, ScheduledRequest] = {}

    def submit(
        self, text: str, document: str = "a", deadline_ms: int = 10_000, *, survives: bool = False
    ) -> None:
        request = CompletionRequest(path="x.py", text=text, offset=0, deadline_ms=deadline_ms)
        self.jobs[text] = ScheduledRequest(
            key=document, uri=document, request=request, survives_edits=survives
        )
        self.scheduler.submit(self.jobs[text])

    def hurried(self, text: str) -> bool:
        return self.jobs[text].cancel.is_hurried()

    def answer(self, text: str) -> list[str] | None:
        found = self.jobs[text].future.result(TIMEOUT_S)
        return None if found is None else [completion.text for completion in found]

    def started(self) -> str:
        return self.engine.started.get(timeout=TIMEOUT_S)


@pytest.fixture
def idle() -> Iterator[Bench]:
    """Without an engine yet."""
    bench = Bench()
    yield bench
    bench.scheduler.stop(TIMEOUT_S)


@pytest.fixture
def bench(idle: Bench) -> Bench:
    idle.scheduler.use(idle.engine)
    return idle


def test_answer_is_what_the_engine_says(bench: Bench) -> None:
    bench.submit("one")
    bench.engine.go_on.release()
    assert bench.answer("one") == ["one"]


def test_superseded_is_null_at_once_and_its_engine_is_stopped(bench: Bench) -> None:
    bench.submit("old")
    assert bench.started() == "old"
    bench.submit("new")
    assert bench.answer("old") is None
    assert bench.engine.was_cancelled.get(timeout=TIMEOUT_S) == "old"
    assert bench.started() == "new"
    bench.engine.go_on.release()
    assert bench.answer("new") == ["new"]


def test_only_the_newest_of_a_document_waits(bench: Bench) -> None:
    bench.submit("other", document="b")
    assert bench.started() == "other"
    for number in range(5):
        bench.submit(f"a{number}")
    assert [bench.answer(f"a{number}") for number in range(4)] == [None] * 4
    bench.engine.go_on.release(2)
    assert bench.answer("other") == ["other"]
    assert bench.answer("a4") == ["a4"]
    assert bench.started() == "a4"
    assert bench.engine.started.empty()
    assert bench.engine.most_running == 1


def test_documents_are_served_in_order_of_arrival(bench: Bench) -> None:
    bench.submit("first", document="0")
    for number in range(1, 5):
        bench.submit(f"text {number}", document=str(number))
    bench.engine.go_on.release(5)
    assert [bench.started() for _ in range(5)] == ["first", *(f"text {n}" for n in range(1, 5))]


def test_edit_outdates_running_and_waiting_requests(bench: Bench) -> None:
    bench.submit("running")
    bench.started()
    bench.submit("kept", document="b")
    bench.scheduler.outdate("a")
    assert bench.answer("running") is None
    assert bench.started() == "kept"
    bench.engine.go_on.release()
    assert bench.answer("kept") == ["kept"]


def test_edit_leaves_a_menu_s_request(bench: Bench) -> None:
    bench.submit("menu", survives=True)
    bench.started()
    bench.scheduler.outdate("a")
    bench.engine.go_on.release()
    assert bench.answer("menu") == ["menu"]


@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize("is_abandoned", [True, False])
def test_dropped_request_is_stopped(bench: Bench, is_running: bool, is_abandoned: bool) -> None:
    bench.submit("blocker", document="b")
    bench.started()
    bench.submit("meant")
    if is_running:
        bench.engine.go_on.release()
        assert bench.started() == "meant"
    if is_abandoned:  # as an event loop does with what it awaits
        assert bench.jobs["meant"].future.cancel()
    for _ in range(2):
        bench.scheduler.drop(bench.jobs["meant"])
    assert bench.jobs["meant"].future.cancelled() == is_abandoned
    if is_running:
        assert bench.engine.was_cancelled.get(timeout=TIMEOUT_S) == "meant"
    bench.engine.go_on.release(2)
    assert bench.answer("blocker") == ["blocker"]
    bench.submit("next")
    assert bench.answer("next") == ["next"]


def test_error_of_the_engine_is_silence_and_told(bench: Bench) -> None:
    bench.engine.error = ValueError("user text")
    bench.submit("one")
    bench.engine.go_on.release()
    assert bench.answer("one") == []
    assert bench.errors == [bench.engine.error]
    bench.engine.error = None
    bench.submit("two")
    bench.engine.go_on.release()
    assert bench.answer("two") == ["two"]


def test_request_waits_for_an_engine_that_loads(idle: Bench) -> None:
    idle.submit("early")
    idle.scheduler.use(idle.engine)
    idle.engine.go_on.release()
    assert idle.answer("early") == ["early"]


def test_request_waits_no_longer_than_its_deadline(idle: Bench) -> None:
    idle.submit("early", deadline_ms=20)
    assert idle.answer("early") == []


def test_waiting_for_the_engine_ends_when_superseded(idle: Bench) -> None:
    idle.submit("early", deadline_ms=600_000)
    idle.submit("newer", deadline_ms=20)
    assert idle.answer("early") is None
    assert idle.answer("newer") == []


def test_no_engine_is_an_empty_answer_at_once(idle: Bench) -> None:
    idle.submit("early", deadline_ms=600_000)
    idle.scheduler.use(None)
    assert idle.answer("early") == []


def test_stop_answers_all_and_ends_the_thread(bench: Bench) -> None:
    bench.submit("running")
    bench.started()
    bench.submit("waiting", document="b")
    bench.scheduler.stop(TIMEOUT_S)
    assert (bench.answer("running"), bench.answer("waiting")) == (None, None)
    assert "completion" not in [thread.name for thread in threading.enumerate()]


def test_settings_reach_the_engine(bench: Bench) -> None:
    bench.scheduler.configure(Settings(multi_line="never"))
    assert bench.engine.settings.multi_line == "never"


@pytest.mark.parametrize("is_first", [True, False])
def test_settings_reach_an_engine_that_is_still_loading(idle: Bench, is_first: bool) -> None:
    early, settings = EarlyEngine("known"), Settings(allow_remote=False)
    if is_first:
        idle.scheduler.configure(settings)
    idle.scheduler.use(early, is_loaded=False)
    if not is_first:
        idle.scheduler.configure(settings)
    assert early.settings == settings
    late = EarlyEngine("known")
    idle.scheduler.use(late)
    assert late.settings == settings


def test_many_threads_ask_and_edit_and_all_are_answered_once(bench: Bench) -> None:
    bench.engine.go_on.release(10_000)

    def work(number: int) -> Callable[[], None]:
        def run() -> None:
            for step in range(50):
                bench.submit(f"{number}.{step}", document=str(number % 2))
                if step % 7 == 0:
                    bench.scheduler.outdate(str(number % 2))

        return run

    threads = [threading.Thread(target=work(number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    for number in range(4):
        for step in range(50):
            text = f"{number}.{step}"
            assert bench.answer(text) in (None, [text])


def test_first_outcome_of_a_job_counts() -> None:
    job = ScheduledRequest(
        key="a", uri="a", request=CompletionRequest(path="x.py", text="", offset=0)
    )
    assert job.settle(())
    assert not job.settle(None)
    assert job.future.result() == ()


def test_description_names_places_and_no_text() -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        raise ValueError("secret text")
    described = describe(caught.value)
    assert described.startswith("ValueError at test_scheduler.py:")
    assert "secret" not in described


def test_a_request_that_others_wait_for_waits_for_nobody(bench: Bench) -> None:
    bench.submit("first", "a")
    assert bench.started() == "first"
    assert not bench.hurried("first")
    bench.submit("second", "b")
    assert bench.hurried("first")
    bench.submit("third", "c")
    bench.engine.go_on.release()
    assert bench.started() == "second"
    assert bench.hurried("second")
    bench.engine.go_on.release()
    assert bench.started() == "third"
    assert not bench.hurried("third")
    bench.engine.go_on.release()


class EarlyEngine:
    """Knows one text before it is loaded."""

    def __init__(self, known: str) -> None:
        self.settings = Settings()
        self.known = known
        self.error: Exception | None = None

    def load(self) -> None:
        """Nothing to do."""

    def complete(self, request: CompletionRequest, cancel: Cancel) -> Sequence[Completion]:
        if self.error is not None:
            raise self.error
        return [completion("early", 0, 0)] if request.text == self.known else []


def test_what_is_known_early_does_not_wait_for_the_loaded_engine(idle: Bench) -> None:
    idle.scheduler.use(EarlyEngine("known"), is_loaded=False)
    idle.submit("known")
    assert idle.answer("known") == ["early"]


def test_what_is_not_known_early_waits_for_the_loaded_engine(idle: Bench) -> None:
    idle.scheduler.use(EarlyEngine("known"), is_loaded=False)
    idle.submit("other")
    idle.scheduler.use(idle.engine)
    idle.engine.go_on.release()
    assert idle.answer("other") == ["other"]


def test_an_early_engine_that_fails_is_no_answer(idle: Bench) -> None:
    early = EarlyEngine("known")
    early.error = ValueError("a secret")
    idle.scheduler.use(early, is_loaded=False)
    idle.submit("known")
    idle.scheduler.use(idle.engine)
    idle.engine.go_on.release()
    assert idle.answer("known") == ["known"]
    assert idle.errors == []
