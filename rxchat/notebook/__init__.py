"""Seeing it: what a run did, as a picture.

watch()      record what is subscribed inside:  `with watch() as run: await stream`
lane(name)   record one stream, under a name:   `stream.pipe(lane("openai"))`
Timeline     what both give: it draws itself in a notebook, `print(run.text())` in a terminal;
             `run.save("run.svg")`, or `.json`, `.txt`, `.png`; `Timeline.load("run.json")`
show()       one answer in a cell, while it comes:       `answer = await show(stream)`
compare()    several answers side by side:               `await compare({"a": one, "b": other})`
measure()    many runs of several streams, in turn:      `table = await measure({"a": one})`
Measurements what it gives: `table.first()`, `.rate()`, `.progress()`, `.cost(prices)` are charts
"""

from rxchat.notebook.cells.comparing import Comparing, compare
from rxchat.notebook.cells.showing import Showing, show
from rxchat.notebook.measuring.measurements import Measurements
from rxchat.notebook.measuring.measuring import Measuring, measure
from rxchat.notebook.timelines.recording import Recording
from rxchat.notebook.timelines.timeline import Mark, Row, Timeline
from rxchat.notebook.timelines.watching import lane, watch

__all__ = ["Mark", "Recording", "Row", "Timeline", "lane", "watch"]
__all__ += ["Comparing", "Showing", "compare", "show"]
__all__ += ["Measurements", "Measuring", "measure"]
