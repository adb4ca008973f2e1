from tokenflight.model.events import FlightLaunched, KeyEvent, TokenForgotten
from tokenflight.model.key import Subject, TokenKey

KEY = TokenKey(client="orders", subject=Subject("somebody"))
LAUNCHED = FlightLaunched(key=KEY, trigger="call")


def test_events_are_equal_where_their_kind_and_all_fields_are() -> None:
    assert FlightLaunched(key=KEY, trigger="call") == LAUNCHED
    assert FlightLaunched(key=KEY, trigger="due") != LAUNCHED
    assert KeyEvent(key=KEY) != TokenForgotten(key=KEY)
    assert LAUNCHED != "FlightLaunched"


def test_equal_events_are_one_in_a_set_and_others_are_not() -> None:
    same = FlightLaunched(key=KEY, trigger="call")
    assert (
        len({LAUNCHED, same, FlightLaunched(key=KEY, trigger="due"), KeyEvent(key=KEY), TokenForgotten(key=KEY)}) == 4
    )


def test_an_event_shows_its_kind_and_fields_and_no_raw_subject() -> None:
    assert repr(LAUNCHED).startswith("FlightLaunched(key=TokenKey('orders', subject=Subject(#")
    assert repr(LAUNCHED).endswith("trigger='call')")
    assert "somebody" not in repr(LAUNCHED)
