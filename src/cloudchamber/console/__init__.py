"""The console: pages on which a product's team sees and steers its fleet.

`frame` is what every page goes through: who is signed in, what they may do in the product of the path, that a form came
from its page, and how a page looks. `sections` lists the sections; each is a module of its own with its rows of routes,
its pages and its templates (`templates/<section>*.html`). How to add one:

1. a module with `SECTION = Section(key, title, nav, ROUTES, make)`; each row names the action that it takes
   (`section.page`, `section.form`, `section.live`), and `make(frame)` gives the object whose methods the rows name.
   What products and organizations have alike has rows of `either(path)`, and works with `ask.owner` and `ask.base`;
2. a line in `sections.SECTIONS`;
3. templates that extend `frame.html`, and a browser test in `tests/browser/test_console_<section>.py`.

A handler takes an `Ask` and calls the services with `ask.requester`. A template shows a button only where `may(...)`
says so; the services refuse all the same. Everything works without script: a form with `data-swap="#id"` is sent by
`static/console.js`, which takes the element with that id out of the page that comes back.
"""
