"""Seeing it: what a run did, as a picture.

watch()      record what is subscribed inside:  `with watch() as run: await stream`
lane(name)   record one stream, under a name:   `stream.pipe(lane("openai"))`
Timeline     what both give: it draws itself in a notebook, `print(run.text())` in a terminal;
             `run.save("run.svg")`, or `.json`, `.txt`, `.png`; `Timeline.load("run.json")`
"""

from rxchat.notebook.timelines.recording import Recording
from rxchat.notebook.timelines.timeline import Mark, Row, Timeline
from rxchat.notebook.timelines.watching import lane, watch

__all__ = ["Mark", "Recording", "Row", "Timeline", "lane", "watch"]
