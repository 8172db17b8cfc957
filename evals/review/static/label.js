// Keys for labelling. Without this file the page is a plain form.
"use strict";

const form = document.getElementById("answers");
const undo = document.getElementById("undo");
const note = document.getElementById("note");
const guideline = document.getElementById("guideline");
const all = [...form.querySelectorAll("fieldset.question")];
const questions = all.filter((question) => !question.classList.contains("side")); // a side is answered by who goes there
let sent = false;

const answered = (question) => question.querySelector("input:checked") !== null;
const complete = () => questions.every(answered);

function send(which) {
  if (sent) return;
  if (which === form && !form.reportValidity()) return;
  which.requestSubmit();
}

function choose(key) {
  const fits = (question) => question.querySelector(`input[data-key="${key}"]`);
  const here = all.find((question) => question.contains(document.activeElement) && fits(question));
  const target = here ?? questions.find((question) => fits(question) && !answered(question)) ?? questions.find(fits);
  if (!target) return false;
  fits(target).checked = true;
  if (complete() && form.hasAttribute("data-fresh")) send(form);
  return true;
}

function takeBack() {
  const radios = [...form.querySelectorAll("input[type=radio]")];
  const touched = radios.some((one) => one.checked !== one.defaultChecked);
  for (const one of radios) one.checked = one.defaultChecked;
  const noted = note.value !== note.defaultValue; // leaving the page would lose it
  if (!touched && !noted && undo) send(undo);
}

function onKey(event) {
  if (event.isComposing || event.altKey) return;
  const commanded = event.ctrlKey || event.metaKey;
  if (event.target === note) {
    if (event.key === "Escape") note.blur();
    else if (event.key === "Enter" && commanded) send(form);
    else return;
    event.preventDefault();
    return;
  }
  if (commanded || event.target.matches("textarea, input:not([type=radio]), select")) return;
  const key = event.key.toLowerCase();
  if (key === "enter") {
    if (event.target.matches("a, button, summary")) return;
    send(form);
  } else if (key === "/") note.focus();
  else if (event.repeat) return;
  else if (key === "z") takeBack();
  else if (key === "g" && guideline) guideline.open = !guideline.open;
  else if (!/^[a-z0-9]$/.test(key) || !choose(key)) return;
  event.preventDefault();
}

for (const one of [form, undo]) {
  one?.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
}
window.addEventListener("pageshow", () => { sent = false; });
document.addEventListener("keydown", onKey);
