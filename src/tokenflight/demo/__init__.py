"""The demo: the library's main job at work on loopback, broken on purpose, counted and judged.

A user's program in all but its purpose: it goes through the public API only. From `run.py`: `acts.py` lets httpx
clients loose on what `stage.py` puts up (`authority.py` and `api.py`, served by `hosting.py`), `promises.py` judges
what was counted in `books.py` and `tally.py`, `view.py` shows it.
"""
