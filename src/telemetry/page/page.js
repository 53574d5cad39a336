"use strict";

// Reads the page again every few seconds and puts what changed in place of what was. Nothing happens while nobody
// looks, while text is selected, or where nothing changed; the page says so when nobody answers any more.
(() => {
  const EVERY = 5000;
  const PATIENCE = 4000;
  const gone = document.getElementById("gone");
  const told = document.getElementById("told");
  let timer = 0;
  let reading = false;
  let seen = new Date();

  const clock = (at) => at.toISOString().slice(11, 19);

  const read = async () => {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const selecting = (main) => {
    const selection = getSelection();
    return selection !== null && !selection.isCollapsed && main.contains(selection.anchorNode);
  };

  const put = (page) => {
    const [now, next] = [document.querySelector("main"), page.querySelector("main")];
    if (next === null || selecting(now)) return;
    if (now.dataset.told !== next.dataset.told) told.textContent = next.dataset.told;
    document.title = page.title;
    for (const details of now.querySelectorAll("details[open][id]")) {
      next.querySelector(`#${CSS.escape(details.id)}`)?.setAttribute("open", "");
    }
    if (now.innerHTML === next.innerHTML) return;
    const at = [scrollX, scrollY];
    const focused = document.activeElement?.closest("details[id]")?.id;
    now.replaceWith(document.adoptNode(next));
    if (focused) document.getElementById(focused)?.querySelector("summary").focus({ preventScroll: true });
    scrollTo(...at);
  };

  const turn = async () => {
    clearTimeout(timer);
    if (document.hidden || reading) return;
    reading = true;
    try {
      put(await read());
      seen = new Date();
      gone.hidden = true;
    } catch {
      if (gone.hidden) gone.textContent = `The service does not answer. What is shown is of ${clock(seen)} UTC.`;
      gone.hidden = false;
    }
    reading = false;
    timer = setTimeout(turn, EVERY);
  };

  document.addEventListener("visibilitychange", turn);
  timer = setTimeout(turn, EVERY);
})();
