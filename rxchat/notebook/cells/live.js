// One answer that grows. Its HTML is made, and made safe, in Python; here it only gets its place.
//
// What did not change stays the same node: a selection stays, and what the reader has unfolded.

const PAGES = 32;
const SECTIONS = [...Array(PAGES).keys()].map((number) => `page${number}`).concat("tail");

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

function become(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType === Node.TEXT_NODE && fresh.nodeType === Node.TEXT_NODE) {
    if (fresh.data.startsWith(old.data)) old.appendData(fresh.data.slice(old.length));
    else old.data = fresh.data;
  } else if (old.nodeType === Node.ELEMENT_NODE && old.nodeName === fresh.nodeName) {
    for (const name of old.getAttributeNames())
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    for (const name of fresh.getAttributeNames())
      if (old.getAttribute(name) !== fresh.getAttribute(name))
        old.setAttribute(name, fresh.getAttribute(name));
    fill(old, [...fresh.childNodes]);
  } else {
    old.replaceWith(fresh);
  }
}

function fill(parent, fresh, from = 0) {
  fresh.forEach((node, place) => {
    const old = parent.childNodes[from + place];
    if (old) become(old, node);
    else parent.append(node);
  });
  while (parent.childNodes.length > from + fresh.length) parent.lastChild.remove();
}

function render({ model, el }) {
  const head = document.createElement("p");
  const title = document.createElement("strong");
  const button = document.createElement("button");
  const body = document.createElement("div");
  const foot = document.createElement("div");
  head.append(title, button);
  el.classList.add("rxchat-live", "jp-RenderedHTMLCommon");
  el.setAttribute("aria-live", "off");
  el.replaceChildren(head, body, foot);
  button.type = "button";
  button.textContent = "Stop";
  button.addEventListener("click", () => {
    button.disabled = true;
    button.textContent = "Stopping…";
    model.send({ stop: true });
  });

  const shown = SECTIONS.map(() => "");
  const sizes = SECTIONS.map(() => 0);

  function paint() {
    const first = SECTIONS.findIndex((name, place) => model.get(name) !== shown[place]);
    if (first >= 0) {
      const fresh = [];
      const from = sizes.slice(0, first).reduce((sum, size) => sum + size, 0);
      for (let place = first; place < SECTIONS.length; place++) {
        shown[place] = model.get(SECTIONS[place]);
        const nodes = [...parsed(shown[place]).children];
        sizes[place] = nodes.length;
        fresh.push(...nodes);
      }
      fill(body, fresh, from);
    }
    title.textContent = model.get("title");
    button.hidden = !model.get("running");
    fill(foot, [...parsed(model.get("foot")).childNodes]);
  }

  model.on("change", paint);
  paint();
  return () => model.off("change", paint);
}

export default { render };
