// The table of decisions without reloading the page: filters as they change, sorting and paging in place.
// Without this script the same form and links do the same.
"use strict";

const form = document.getElementById("filter");
const place = document.getElementById("decisions");
const PAUSE = 150; // milliseconds of rest after a key before the table follows
let asked = 0;
let waiting = 0;

async function show(address, focus) {
  const mine = ++asked;
  place.setAttribute("aria-busy", "true");
  const reply = await fetch(address, { headers: { Accept: "text/html" } });
  const text = await reply.text();
  if (mine !== asked) return; // a later question has been asked meanwhile
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("decisions");
  if (!reply.ok || fresh === null) {
    location.assign(address);
    return;
  }
  place.replaceChildren(...fresh.childNodes);
  place.removeAttribute("aria-busy");
  history.replaceState(null, "", address);
  if (focus) place.querySelector(`[data-table="${CSS.escape(focus)}"]`)?.focus();
}

function follow() {
  if (!form.checkValidity()) return;
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "") query.append(name, value);
  show(`${form.getAttribute("action")}?${query}`);
}

form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(follow, PAUSE);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  follow();
});
place.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-table]");
  if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(link.getAttribute("href"), link.dataset.table);
});
