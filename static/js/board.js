// Contacts dragged from one column to another. Without this script the form on each card does the same.

const said = () => document.querySelector("[data-board-status]");

let dragged = null;

document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-contact]") ?? null;
  if (dragged) {
    dragged.dataset.dragged = "";
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", dragged.dataset.contact);
  }
});

document.addEventListener("dragend", () => {
  if (dragged) {
    delete dragged.dataset.dragged;
  }
  dragged = null;
  for (const column of document.querySelectorAll("[data-over]")) {
    delete column.dataset.over;
  }
});

document.addEventListener("dragover", (event) => {
  const column = event.target.closest?.("[data-status]");
  if (!dragged || !column) {
    return;
  }
  event.preventDefault();
  for (const other of document.querySelectorAll("[data-over]")) {
    if (other !== column) {
      delete other.dataset.over;
    }
  }
  column.dataset.over = "";
});

document.addEventListener("drop", (event) => {
  const column = event.target.closest?.("[data-status]");
  if (dragged && column) {
    event.preventDefault();
    move(dragged, column);
  }
});

document.addEventListener("change", (event) => {
  const select = event.target.closest?.("[data-board] select[name=status]");
  const column = select && document.querySelector(`[data-status="${select.value}"]`);
  if (column) {
    move(select.closest("[data-contact]"), column).then(() => select.focus());
  }
});

async function move(card, column) {
  const from = card.closest("[data-status]");
  if (from === column) {
    return;
  }
  const before = card.nextElementSibling;
  place(card, column);
  const form = card.querySelector("form");
  const body = new FormData(form);
  body.set("status", column.dataset.status);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "application/json" } });
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    count(from, -1);
    count(column, 1);
    said().textContent = `${card.querySelector(".row-link").textContent}: ${(await answer.json()).label}`;
  } catch {
    from.querySelector(".board__cards").insertBefore(card, before);
    card.querySelector("select").value = from.dataset.status;
    said().textContent = "The contact could not be moved. Load the page again, and try once more.";
  }
}

function place(card, column) {
  const cards = column.querySelector(".board__cards");
  cards.querySelector(".board__empty")?.remove();
  cards.prepend(card);
  card.querySelector("select").value = column.dataset.status;
}

function count(column, change) {
  const shown = column.querySelector("[data-count]");
  if (/^\d+$/.test(shown.textContent.trim())) {
    shown.textContent = Number(shown.textContent) + change;
  }
}

// A choice is a move at once, so the button that does it without a script is not needed.
for (const button of document.querySelectorAll("[data-board] form button")) {
  button.hidden = true;
}
document.addEventListener("htmx:afterSwap", () => {
  for (const button of document.querySelectorAll("[data-board] form button")) {
    button.hidden = true;
  }
});
