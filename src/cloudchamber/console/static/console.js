/* The console's one script. Every page works without it; with it, forms and links that say `data-swap="#id"` fetch the
   next page and put its element with that id in place of this page's, lists follow what is typed, and events come by
   themselves. Nothing is made of text here: what is put into the page is HTML that the server has rendered.

     data-swap="#a #b"   on a form or link: the elements to take out of the answer (the notices always come along)
     data-live           on a form with data-swap: it is sent while somebody types
     data-poll="15"      on an element with an id: asked for again every 15 s while the page is looked at
     data-stream="/url"  on an element: pieces of HTML from there come in at its top; data-keep="200" bounds them
     data-pause="id"     on a button: holds the stream of that element, and lets it go again
     data-copy="id"      on a button: copies that element's text
     data-shows="a"      on a radio button or option: shows the elements with data-if="a" of its form, hides the others */
"use strict";
(() => {
  const parse = (text) => new DOMParser().parseFromString(text, "text/html");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // -- fetch and swap -------------------------------------------------------------------------------------------------

  let latest = 0;

  // Who works with the keyboard stays where they are: on the element of the same id or, in what was swapped, on the one
  // that says the same, else on the swapped element itself.
  const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
  const saying = (element) => (element.textContent.trim() || element.name || "").replace(/ [↓↑]$/, "");
  const alike = (element, here, there) => {
    const [before, after] = [all(FOCUSABLE, here), all(FOCUSABLE, there)];
    const at = before.indexOf(element);
    const same = after.filter((each) => each.tagName === element.tagName && saying(each) === saying(element));
    return same.includes(after[at]) ? after[at] : same[0];
  };
  const focus = (element) => {
    if (!element.matches(FOCUSABLE)) element.tabIndex = -1;
    element.focus({ preventScroll: true });
  };

  const swap = (page, selectors) => {
    const active = document.activeElement;
    const focused = active?.id;
    const caret = active?.selectionStart;
    let swapped = false;
    let again;
    for (const selector of [...selectors, "#notices"]) {
      const [here, there] = [document.querySelector(selector), page.querySelector(selector)];
      if (!here || !there) continue;
      stop(here);
      if (active && here.contains(active)) again = (!focused && alike(active, here, there)) || there;
      here.replaceWith(document.adoptNode(there));
      start(there);
      if (selector !== "#notices") swapped = true;
    }
    again = (focused && document.getElementById(focused)) || again;
    if (again && again !== document.activeElement) {
      focus(again);
      if (caret != null && again.setSelectionRange && again.type !== "number") again.setSelectionRange(caret, caret);
    }
    return swapped;
  };

  const load = async (url, options, selectors, { keepsUrl = false, isQuiet = false } = {}) => {
    const mine = isQuiet ? latest : ++latest;
    const targets = selectors.map((selector) => document.querySelector(selector)).filter(Boolean);
    if (!isQuiet) targets.forEach((each) => each.setAttribute("aria-busy", "true"));
    try {
      const answer = await fetch(url, { ...options, credentials: "same-origin" });
      const text = await answer.text();
      if (mine !== latest) return;
      if (new URL(answer.url).pathname.endsWith("/sign-in")) {
        if (!isQuiet) location.assign(answer.url);
        return;
      }
      const page = parse(text);
      if (isQuiet && !answer.ok) return;
      const swapped = swap(page, selectors);
      if (!isQuiet && swapped && !keepsUrl && answer.ok) {
        if (answer.url !== location.href) history.replaceState(null, "", answer.url);
        document.title = page.title;
      }
      if (!isQuiet) document.querySelector("#notices .notice.bad")?.scrollIntoView({ block: "nearest" });
    } catch {
      if (!isQuiet && mine === latest) say("The server cannot be reached. Try again in a moment.");
    } finally {
      if (!isQuiet) selectors.forEach((selector) => document.querySelector(selector)?.removeAttribute("aria-busy"));
    }
  };

  const say = (text) => {
    const notice = document.createElement("p");
    notice.className = "notice bad";
    notice.setAttribute("role", "alert");
    notice.textContent = text;
    document.querySelector("#notices")?.replaceChildren(notice);
  };

  const selectorsOf = (element) => element.dataset.swap.split(" ").filter(Boolean);

  const send = (form, button) => {
    const data = new FormData(form);
    if (button?.name) data.append(button.name, button.value);
    const url = new URL(button?.getAttribute("formaction") || form.getAttribute("action") || location.href, location.href);
    if (form.method === "get") {
      url.search = new URLSearchParams([...data].filter(([, value]) => value !== "")).toString();
      return load(url, {}, selectorsOf(form));
    }
    const body = form.enctype === "multipart/form-data" ? data : new URLSearchParams(data);
    // The answer to a form may be a page of its own, at the form's address: that is no page to come back to.
    return load(url, { method: "POST", body }, selectorsOf(form), { keepsUrl: true });
  };

  const sending = new WeakSet();
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.dataset.swap) return;
    event.preventDefault();
    // Once is enough. Disabling the button would take the focus from it.
    if (sending.has(form)) return;
    sending.add(form);
    const button = event.submitter;
    button?.setAttribute("aria-disabled", "true");
    await send(form, button);
    button?.removeAttribute("aria-disabled");
    sending.delete(form);
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-swap]");
    if (link && !event.defaultPrevented && event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey)) {
      event.preventDefault();
      load(link.href, {}, selectorsOf(link));
    }
  });

  let typing;
  const follow = (event) => {
    const form = event.target.form;
    if (!form || form.dataset.live === undefined) return;
    clearTimeout(typing);
    typing = setTimeout(() => send(form), event.type === "change" ? 0 : 220);
  };
  document.addEventListener("input", follow);
  document.addEventListener("change", follow);

  // -- small helps ------------------------------------------------------------------------------------------------------

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl C";
    }
    setTimeout(() => { button.textContent = before; }, 1500);
  });

  document.addEventListener("click", (event) => {
    for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of all("details.menu[open]")) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
    // As everywhere: a slash goes to the search.
    if (event.key === "/" && !event.target.closest?.("input, textarea, select")) {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });

  const choose = (form) => {
    const chosen = all("[data-shows]", form).find((each) => each.checked || each.selected)?.dataset.shows;
    if (chosen === undefined) return;
    for (const each of all("[data-if]", form)) {
      const isShown = each.dataset.if.split(" ").includes(chosen);
      each.hidden = !isShown;
      for (const field of all("input, select, textarea", each)) field.disabled = !isShown;
    }
  };
  document.addEventListener("change", (event) => event.target.form && choose(event.target.form));

  // -- what comes by itself ---------------------------------------------------------------------------------------------

  const running = new Map();

  const stream = (element) => {
    const keep = Number(element.dataset.keep || 100);
    const state = { isHeld: false, held: [] };
    const source = new EventSource(element.dataset.stream);
    const add = (html) => {
      element.insertAdjacentHTML("afterbegin", html);
      while (element.children.length > keep) element.lastElementChild.remove();
      const empty = element.dataset.empty && document.getElementById(element.dataset.empty);
      if (empty) empty.hidden = true;
    };
    source.onmessage = ({ data }) => {
      if (!state.isHeld) return add(data);
      state.held.push(data);
      if (state.held.length > keep) state.held.shift();
    };
    state.pause = (isHeld) => {
      state.isHeld = isHeld;
      if (!isHeld) state.held.splice(0).forEach(add);
    };
    state.stop = () => source.close();
    return state;
  };

  const poll = (element) => {
    const timer = setInterval(() => {
      // Not under somebody's hands: what they type or have open stays.
      const isInUse = element.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
      if (document.visibilityState === "visible" && !isInUse && !element.querySelector("details[open]")) {
        load(location.href, {}, ["#" + element.id], { keepsUrl: true, isQuiet: true });
      }
    }, Number(element.dataset.poll) * 1000);
    return { stop: () => clearInterval(timer) };
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-pause]");
    if (!button) return;
    const isHeld = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isHeld));
    running.get(document.getElementById(button.dataset.pause))?.pause?.(isHeld);
  });

  const each = (root, selector, act) => {
    if (root.matches?.(selector)) act(root);
    all(selector, root).forEach(act);
  };

  const start = (root) => {
    each(root, "[data-stream]", (element) => running.set(element, stream(element)));
    each(root, "[data-poll]", (element) => running.set(element, poll(element)));
    each(root, "[data-copy], [data-pause]", (button) => { button.hidden = false; });
    each(root, "form", choose);
  };
  const stop = (root) => each(root, "[data-stream], [data-poll]", (element) => {
    running.get(element)?.stop();
    running.delete(element);
  });

  start(document.documentElement);
  // On a phone the sections stand in a row that is wider than the screen.
  const [side, here] = [document.querySelector(".side"), document.querySelector(".side [aria-current]")];
  if (side && here) side.scrollLeft = here.offsetLeft - (side.clientWidth - here.offsetWidth) / 2;
  addEventListener("pagehide", () => running.forEach((each) => each.stop()));
  // From here on the page does what it can do; tests hold the time.
  performance.mark("console-ready");
})();
