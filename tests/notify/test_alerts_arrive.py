"""What ought to be told is told to a real service, once, whatever happens to the server or the service meanwhile."""

from __future__ import annotations

from typing import Any

from notify_house import LINK, NotifyHouse
from support.receivers import Receiver, http_receiver, mail_receiver
from support.servers import free_port, wait_for


def test_a_broken_glass_is_told_with_its_facts_and_a_link_and_only_once(house: NotifyHouse, receiver: Receiver) -> None:
    runner = house.runner(alert_targets={"hook": receiver.url})
    grant = house.break_glass(reason="shop is down\nnobody answers")
    glass = house.await_entry("access.break_glass")
    message = receiver.wait()
    assert message["title"] == "[Jupyter Audit] ada broke the glass of production-debug"
    for fact in ("Who: ada", "Reason: shop is down nobody answers", "Ticket: T-9", f"Grant: {grant}", f"Panel: {LINK}"):
        assert fact in message["message"]
    sent = house.await_entry("alert.sent")
    assert {name: sent.body[name] for name in ("event", "target", "count", "through", "about", "attempts")} == {
        "event": "break_glass", "target": "hook", "count": 1, "through": glass.seq, "about": [], "attempts": 1,
    }  # fmt: skip
    # The detection's finding about the same glass is no second alert; another finding is.
    house.find("critical", glass.seq, title="Broken glass")
    house.find("critical", glass.seq + 1)
    receiver.wait(2)
    runner.close()
    assert receiver.titles[1:] == ["[Jupyter Audit] critical: Mass read"]


def test_mail_arrives(house: NotifyHouse) -> None:
    with mail_receiver() as (url, letters):
        runner = house.runner(alert_targets={"mail": url})
        house.break_glass()
        wait_for(lambda: letters, "the letter")
        runner.close()
    assert "Subject: [Jupyter Audit] ada broke the glass of production-debug" in letters[0]
    assert "Reason: shop is down" in letters[0]


def test_what_a_killed_server_did_not_tell_the_next_one_tells_when_the_service_is_up_again(house: NotifyHouse) -> None:
    port = free_port()
    targets = {"hook": f"json://127.0.0.1:{port}/hook/s3cret-token"}
    killed = house.runner(alert_targets=targets)
    house.break_glass()
    failed = house.await_entry("alert.failed")
    assert (failed.body["event"], failed.body["target"], failed.body["given_up"]) == ("break_glass", "hook", False)
    killed._lead.release()  # as the system does when the process is gone
    killed._closing.set()
    house.ask()
    house.find("high", 1)
    with http_receiver(port) as receiver:
        runner = house.runner(alert_targets=targets)
        wait_for(lambda: len(house.entries("alert.sent")) == 2, "both to be told, and that to be put down")
        runner.close()
        assert sorted(receiver.titles) == [
            "[Jupyter Audit] ada broke the glass of production-debug", "[Jupyter Audit] high: Mass read",
        ]  # fmt: skip
        again = house.runner(alert_targets=targets)
        house.find("critical", 1)
        assert receiver.wait(3)["title"] == "[Jupyter Audit] critical: Mass read"
        again.close()
    assert len(receiver.titles) == 3


def test_a_service_that_hangs_holds_up_nobody_else_and_is_told_when_it_answers(house: NotifyHouse, receiver: Receiver) -> None:
    with http_receiver() as hanging:
        hanging.hold.clear()
        runner = house.runner(alert_targets={"good": receiver.url, "hangs": hanging.url}, deadline_s=4.0)
        house.break_glass()
        receiver.wait()
        house.await_entry("alert.failed", lambda e: e.body["target"] == "hangs")
        house.break_glass("bob")
        hanging.hold.set()
        wait_for(lambda: any(e.body["target"] == "hangs" for e in house.entries("alert.sent")), "the one that hung")
        runner.close()
    newest = [e.body["count"] for e in house.entries("alert.sent") if e.body["target"] == "hangs"]
    assert newest[0] in (1, 2)


def test_many_things_are_one_message(house: NotifyHouse, receiver: Receiver) -> None:
    receiver.status = 503
    runner = house.runner(alert_targets={"hook": receiver.url})
    house.find("high", 1, title="The first")
    house.await_entry("alert.failed")
    for number in range(30):
        house.find("high", 1, title=f"Number {number}")
    receiver.status = 200
    wait_for(lambda: any(e.body["count"] >= 30 for e in house.entries("alert.sent")), "one message about all")
    runner.close()
    message = receiver.messages[-1]
    assert message["title"].startswith("[Jupyter Audit] high: Number 29, and ")
    assert "older" in message["message"]
    assert len(receiver.messages) <= 2
    assert len(house.entries("alert.failed")) == 1


def test_no_secret_of_a_target_is_in_the_ledger_nor_in_what_is_told_of_a_failure(house: NotifyHouse, receiver: Receiver) -> None:
    receiver.status = 500
    (house.home.path / "alerts").mkdir(mode=0o700)
    held = house.home.path / "alerts" / "oncall"
    held.write_text(f"json://user:hunter2-{'x' * 5}@127.0.0.1:{receiver.port}/hook/s3cret-token\n")
    held.chmod(0o600)
    targets = {"hook": "file:oncall", "nonsense": "nosuchservice://s3cret-token/hunter2"}
    runner = house.runner(alert_targets=targets)
    house.break_glass()
    wait_for(lambda: len(house.entries("alert.failed")) == 2, "both to fail")
    runner.close()
    errors = {str(e.body["target"]): str(e.body["error"]) for e in house.entries("alert.failed")}
    assert "500" in errors["hook"]
    assert errors["nonsense"] == "its URL is none that Apprise knows"
    assert house.await_entry("alert.routed").body["targets"] == {"hook": "json", "nonsense": "nosuchservice"}
    kept = "".join(entry.raw for entry in house.reader.entries())
    assert "s3cret" not in kept
    assert "hunter2" not in kept


def test_a_new_target_is_not_told_what_was_before_it(house: NotifyHouse, receiver: Receiver) -> None:
    with http_receiver() as first:
        runner = house.runner(alert_targets={"first": first.url})
        house.break_glass()
        first.wait()
        runner.close()
        runner = house.runner(alert_targets={"first": first.url, "second": receiver.url})
        house.find("high", 1)
        first.wait(2)
        receiver.wait()
        runner.close()
    assert receiver.titles == ["[Jupyter Audit] high: Mass read"]


def test_of_two_servers_on_a_ledger_one_tells_and_the_other_takes_over(house: NotifyHouse, receiver: Receiver) -> None:
    targets = {"hook": receiver.url}
    first = house.runner(alert_targets=targets)
    second = house.runner(alert_targets=targets)
    house.break_glass()
    house.await_entry("alert.sent")
    first.close()
    house.find("high", 1)
    receiver.wait(2)
    second.close()
    assert len(receiver.titles) == 2


class Failing:
    """A recorder that cannot store anything."""

    def __init__(self) -> None:
        self.owed: list[Any] = []

    def failing_for(self) -> float:
        return 60.0

    def owe(self, draft: Any) -> None:
        self.owed.append(draft)

    def subscribe(self, _: Any) -> None:
        pass

    def record(self, _: Any) -> Any:
        raise AssertionError("it leads nobody here")


def test_that_recording_fails_is_told_although_no_entry_can_say_so(house: NotifyHouse, receiver: Receiver) -> None:
    targets = {"hook": receiver.url}
    leading = house.runner(alert_targets=targets)
    recorder = Failing()
    runner = house.runner(recorder, alert_targets=targets)
    assert receiver.wait()["title"] == "[Jupyter Audit] The audit ledger cannot be written"
    wait_for(lambda: recorder.owed, "the entry about it to be owed")
    runner.close()
    leading.close()
    assert recorder.owed[0].body["event"] == "recording_failing"
    assert len(receiver.messages) == 1
