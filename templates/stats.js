"use strict";
(() => {
  const main = document.getElementById("main");
  const uri = main.dataset.uri;
  const filter = document.getElementById("filter");
  const live = document.getElementById("live");
  document.documentElement.classList.add("script");

  // Times are drawn in UTC; show them as the reader's clock does.
  const localise = (root) => root.querySelectorAll("time").forEach((time) => {
    const at = new Date(time.dateTime);
    if (!isNaN(at)) {
      time.textContent = at.toLocaleTimeString([], { hour12: false });
      time.title = at.toLocaleString();
    }
  });

  const search = () => {
    const words = filter.value.trim().toLowerCase();
    let seen = 0;
    for (const proxy of document.querySelectorAll(".proxy")) {
      const whole = proxy.querySelector("h3 a").textContent.toLowerCase().includes(words);
      const found = whole || proxy.dataset.words.includes(words);
      proxy.hidden = !found;
      seen += found ? 1 : 0;
      for (const row of proxy.querySelectorAll("tr.server")) {
        const said = [...row.querySelectorAll(".name, .status")].map((cell) => cell.textContent).join(" ");
        row.hidden = found && !whole && !said.toLowerCase().includes(words);
        row.nextElementSibling.hidden = row.hidden;
      }
    }
    document.getElementById("nothing").hidden = seen > 0 || !document.querySelector(".proxy");
  };
  filter.addEventListener("input", search);

  // Fields are sent whole only when they changed; a piece is replaced in place, so what is open or chosen stays so.
  const apply = (pieces) => {
    for (const [id, html] of Object.entries(pieces)) {
      if (id.endsWith("-class")) {
        const row = document.getElementById(id.slice(0, -6));
        if (row) row.className = html;
        continue;
      }
      const place = document.getElementById(id);
      if (place) {
        place.innerHTML = html;
        localise(place);
      }
    }
  };

  // Another configuration: other rows. Take the new page's main part, keep what is open.
  const redraw = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    // The new page's style sheet is another nonce's; this page has its own.
    const text = (await answer.text()).replace(/<style[^]*?<\/style>/, "");
    const page = new DOMParser().parseFromString(text, "text/html");
    const open = new Set([...main.querySelectorAll("tr.row:has(details[open])")].map((row) => row.id));
    main.replaceChildren(...page.getElementById("main").childNodes);
    open.forEach((id) => document.getElementById(id)?.querySelector("details")?.setAttribute("open", ""));
    localise(main);
    search();
  };

  let source = null;
  const state = (text, on) => {
    live.textContent = text;
    live.classList.toggle("off", !on);
  };
  const connect = () => {
    source = new EventSource(uri + ";events" + (location.search.includes("scope=") || location.href.includes(";scope=") ? ";scope=" + encodeURIComponent(filter.defaultValue) : ""));
    source.addEventListener("open", () => state("live", true));
    source.addEventListener("pieces", (event) => {
      const update = JSON.parse(event.data);
      document.title = update.title;
      apply(update.pieces);
      document.querySelector(".asof").textContent = "as of " + new Date(update.now).toLocaleTimeString([], { hour12: false });
    });
    source.addEventListener("redraw", redraw);
    source.addEventListener("error", () => state("reconnecting", false));
  };
  const stop = () => {
    source?.close();
    source = null;
    state("paused", false);
  };
  live.setAttribute("role", "button");
  live.tabIndex = 0;
  live.title = "Pause or go on";
  const toggle = () => (source ? stop() : connect());
  live.addEventListener("click", toggle);
  live.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      toggle();
    }
  });

  localise(document);
  if (filter.value && !location.href.includes("scope=")) search();
  if (window.EventSource && location.protocol !== "file:") {
    live.hidden = false;
    // After the page is whole: a stream that never ends would keep a browser that only takes a picture waiting.
    const begin = () => setTimeout(() => source ?? connect(), 1000);
    if (document.readyState === "complete") begin();
    else window.addEventListener("load", begin);
  }
})();
