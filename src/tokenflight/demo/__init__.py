"""The demo: the library's main job at work on loopback, broken on purpose, counted and judged.

A user's program in all but its purpose: it goes through the public API only. `run.py` plays what `programme.py` lists.
`acts.py` and `grant_acts.py` let httpx clients loose on what `stage.py` puts up: a provider with the clients of
`clients.py`, an `api.py` and an `authority.py`, served by `hosting.py`. The authority has a `box_desk.py`, checks
`signatures.py`, keeps `logins.py`, and does wrong what `faults.py` plans. `promises.py` and `grant_promises.py` judge
what was counted in `books.py` and `tally.py`; `view.py` shows it.
"""
